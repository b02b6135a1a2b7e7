// Reads a GLB (glTF 2.0 in one binary file) into triangles that can be drawn. Throws an Error that says what it
// cannot read; compressed meshes are among that.

const GLB = 0x46546c67;
const JSON_CHUNK = 0x4e4f534a;
const BIN_CHUNK = 0x004e4942;
const TRIANGLES = 4;
const ARRAYS = { 5120: Int8Array, 5121: Uint8Array, 5122: Int16Array, 5123: Uint16Array, 5125: Uint32Array, 5126: Float32Array };
const MOST = { 5120: 127, 5121: 255, 5122: 32767, 5123: 65535, 5125: 4294967295 };
const WIDTHS = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4, MAT4: 16 };
const CANNOT = ["KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_texture_basisu"];

// Returns [{ positions, normals, uvs, indices, colour: [r, g, b, a], image: Blob or null, matrix }].
export function parse(buffer) {
  const { document, bin } = split(buffer);
  const unknown = (document.extensionsRequired ?? []).find((name) => CANNOT.includes(name));
  if (unknown) throw new Error(`The model uses ${unknown}.`);
  const found = [];
  const scene = document.scenes?.[document.scene ?? 0];
  for (const node of scene?.nodes ?? []) walk(document, bin, node, identity(), found, 0);
  if (!found.length) throw new Error("The model has no triangles.");
  return found;
}

function split(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 20 || view.getUint32(0, true) !== GLB || view.getUint32(4, true) !== 2) {
    throw new Error("This is no GLB of version 2.");
  }
  let document = null;
  let bin = null;
  for (let at = 12; at + 8 <= buffer.byteLength; ) {
    const length = view.getUint32(at, true);
    const kind = view.getUint32(at + 4, true);
    const bytes = new Uint8Array(buffer, at + 8, length);
    if (kind === JSON_CHUNK) document = JSON.parse(new TextDecoder().decode(bytes));
    if (kind === BIN_CHUNK) bin = bytes;
    at += 8 + length + ((4 - (length % 4)) % 4);
  }
  if (!document || !bin) throw new Error("The file is not complete.");
  return { document, bin };
}

function walk(document, bin, index, above, found, depth) {
  if (depth > 100) throw new Error("The model's parts contain themselves.");
  const node = document.nodes[index];
  const matrix = multiply(above, node.matrix ?? fromParts(node));
  for (const primitive of document.meshes?.[node.mesh]?.primitives ?? []) {
    if ((primitive.mode ?? TRIANGLES) === TRIANGLES) found.push({ ...read(document, bin, primitive), matrix });
  }
  for (const child of node.children ?? []) walk(document, bin, child, matrix, found, depth + 1);
}

function read(document, bin, primitive) {
  const positions = accessor(document, bin, primitive.attributes.POSITION, true);
  const indices =
    primitive.indices === undefined
      ? Uint32Array.from({ length: positions.length / 3 }, (_, at) => at)
      : Uint32Array.from(accessor(document, bin, primitive.indices, false));
  const { NORMAL, TEXCOORD_0 } = primitive.attributes;
  const look = document.materials?.[primitive.material]?.pbrMetallicRoughness ?? {};
  return {
    positions,
    indices,
    normals: NORMAL === undefined ? normalsOf(positions, indices) : accessor(document, bin, NORMAL, true),
    uvs: TEXCOORD_0 === undefined ? new Float32Array((positions.length / 3) * 2) : accessor(document, bin, TEXCOORD_0, true),
    colour: look.baseColorFactor ?? [1, 1, 1, 1],
    image: imageOf(document, bin, look.baseColorTexture),
  };
}

function accessor(document, bin, index, asFloats) {
  const one = document.accessors[index];
  const Kind = ARRAYS[one.componentType];
  const width = WIDTHS[one.type];
  const view = document.bufferViews[one.bufferView];
  const stride = view.byteStride ?? width * Kind.BYTES_PER_ELEMENT;
  const begin = (view.byteOffset ?? 0) + (one.byteOffset ?? 0);
  const most = one.normalized ? MOST[one.componentType] : 1;
  const values = asFloats ? new Float32Array(one.count * width) : new Kind(one.count * width);
  for (let row = 0; row < one.count; row += 1) {
    // A copy, because a typed array cannot begin at an odd byte.
    const from = begin + row * stride;
    const cells = new Kind(bin.slice(from, from + width * Kind.BYTES_PER_ELEMENT).buffer);
    for (let cell = 0; cell < width; cell += 1) values[row * width + cell] = cells[cell] / most;
  }
  return values;
}

function imageOf(document, bin, texture) {
  const image = document.images?.[document.textures?.[texture?.index]?.source];
  if (image?.bufferView === undefined) return null; // what lies elsewhere is not fetched
  const view = document.bufferViews[image.bufferView];
  const begin = view.byteOffset ?? 0;
  return new Blob([bin.slice(begin, begin + view.byteLength)], { type: image.mimeType });
}

function normalsOf(positions, indices) {
  const normals = new Float32Array(positions.length);
  for (let at = 0; at < indices.length; at += 3) {
    const [a, b, c] = [0, 1, 2].map((corner) => indices[at + corner] * 3);
    const u = [0, 1, 2].map((axis) => positions[b + axis] - positions[a + axis]);
    const v = [0, 1, 2].map((axis) => positions[c + axis] - positions[a + axis]);
    const normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    for (const corner of [a, b, c]) for (let axis = 0; axis < 3; axis += 1) normals[corner + axis] += normal[axis];
  }
  return normals;
}

export function identity() {
  return [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
}

// Matrices are columns first, as WebGL wants them.
export function multiply(a, b) {
  const made = new Array(16).fill(0);
  for (let column = 0; column < 4; column += 1) {
    for (let row = 0; row < 4; row += 1) {
      for (let at = 0; at < 4; at += 1) made[column * 4 + row] += a[at * 4 + row] * b[column * 4 + at];
    }
  }
  return made;
}

function fromParts({ translation: t = [0, 0, 0], rotation: [x, y, z, w] = [0, 0, 0, 1], scale: s = [1, 1, 1] }) {
  return [
    (1 - 2 * (y * y + z * z)) * s[0], 2 * (x * y + z * w) * s[0], 2 * (x * z - y * w) * s[0], 0,
    2 * (x * y - z * w) * s[1], (1 - 2 * (x * x + z * z)) * s[1], 2 * (y * z + x * w) * s[1], 0,
    2 * (x * z + y * w) * s[2], 2 * (y * z - x * w) * s[2], (1 - 2 * (x * x + y * y)) * s[2], 0,
    t[0], t[1], t[2], 1,
  ];
}
