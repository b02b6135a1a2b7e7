// <model-view src="…/chair.glb" label="Model of …"><a href="…">Download</a></model-view>
//
// Shows a GLB in 3D once its button is pressed: drag or arrow keys turn it, the wheel or + and - bring it closer.
// What stands inside stays beside it, and is all there is without JavaScript or WebGL.

import { multiply, parse } from "./glb.js";

const TURN = 0.01;
const STEP = 0.15;
const VIEW = Math.PI / 4;

const VERTEX = `#version 300 es
in vec3 position; in vec3 normal; in vec2 uv;
uniform mat4 view; uniform mat4 model;
out vec3 facing; out vec2 at;
void main() { facing = mat3(model) * normal; at = uv; gl_Position = view * model * vec4(position, 1.0); }`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec3 facing; in vec2 at;
uniform vec4 colour; uniform sampler2D picture; uniform vec3 eye;
out vec4 shown;
void main() {
  vec3 n = normalize(facing);
  if (dot(n, eye) < 0.0) n = -n;
  float light = 0.45 + 0.25 * (0.5 + 0.5 * n.y) + 0.4 * max(dot(n, normalize(eye + vec3(0.3, 0.5, 0.2))), 0.0);
  vec4 own = colour * texture(picture, at);
  shown = vec4(own.rgb * light, 1.0);
}`;

class ModelView extends HTMLElement {
  connectedCallback() {
    if (this.button) return;
    this.button = document.createElement("button");
    this.button.type = "button";
    this.button.className = "console-verb";
    this.button.textContent = "Show in 3D";
    this.button.setAttribute("aria-label", `Show in 3D: ${this.getAttribute("label")}`);
    this.button.addEventListener("click", () => this.open());
    this.prepend(this.button);
  }

  async open() {
    this.button.disabled = true;
    this.button.textContent = "Loading …";
    try {
      const canvas = this.makeCanvas();
      const gl = canvas.getContext("webgl2", { antialias: true, alpha: true });
      if (!gl) throw new Error("This browser draws no 3D.");
      const answer = await fetch(this.getAttribute("src"), { credentials: "same-origin" });
      if (!answer.ok) throw new Error("The file cannot be read.");
      this.scene = await prepare(gl, parse(await answer.arrayBuffer()));
      this.button.replaceWith(canvas);
      Object.assign(this, { canvas, gl, yaw: 0.6, pitch: 0.35, distance: 1 });
      this.listen();
      this.draw();
      this.dataset.shown = "";
      canvas.focus({ preventScroll: true });
    } catch (error) {
      const said = document.createElement("p");
      said.className = "console-soft";
      said.textContent = `${error.message} Download it to look at it.`;
      this.button.replaceWith(said);
    }
  }

  makeCanvas() {
    const canvas = document.createElement("canvas");
    canvas.tabIndex = 0;
    canvas.className = "console-canvas";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${this.getAttribute("label")}. Arrow keys turn it, plus and minus zoom.`);
    return canvas;
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) this.turn(-event.movementX * TURN, event.movementY * TURN);
    });
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas) return; // the page scrolls on
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.1 : 1 / 1.1);
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const turns = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
      if (turns[event.key]) this.turn(...turns[event.key]);
      else if (event.key === "+" || event.key === "=") this.zoom(1 / 1.1);
      else if (event.key === "-") this.zoom(1.1);
      else return;
      event.preventDefault();
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  turn(yaw, pitch) {
    this.yaw += yaw;
    this.pitch = Math.max(-1.5, Math.min(1.5, this.pitch + pitch));
    this.draw();
  }

  zoom(by) {
    this.distance = Math.max(0.3, Math.min(4, this.distance * by));
    this.draw();
  }

  draw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      const { canvas, gl, scene } = this;
      const scale = Math.min(2, devicePixelRatio);
      canvas.width = canvas.clientWidth * scale;
      canvas.height = canvas.clientHeight * scale;
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      const eye = [
        Math.cos(this.pitch) * Math.sin(this.yaw), Math.sin(this.pitch), Math.cos(this.pitch) * Math.cos(this.yaw),
      ];
      const away = (scene.radius / Math.sin(VIEW / 2)) * 1.1 * this.distance;
      const place = eye.map((axis, at) => scene.centre[at] + axis * away);
      const view = multiply(perspective(canvas.width / canvas.height, away, scene.radius), look(place, eye));
      gl.uniformMatrix4fv(scene.at.view, false, view);
      gl.uniform3fv(scene.at.eye, eye);
      for (const part of scene.parts) {
        gl.bindVertexArray(part.shape);
        gl.bindTexture(gl.TEXTURE_2D, part.picture);
        gl.uniformMatrix4fv(scene.at.model, false, part.matrix);
        gl.uniform4fv(scene.at.colour, part.colour);
        gl.drawElements(gl.TRIANGLES, part.count, gl.UNSIGNED_INT, 0);
      }
    });
  }
}

async function prepare(gl, primitives) {
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error("This browser draws no 3D.");
  gl.useProgram(program);
  gl.enable(gl.DEPTH_TEST);
  const at = Object.fromEntries(
    ["view", "model", "colour", "eye"].map((name) => [name, gl.getUniformLocation(program, name)]),
  );
  const parts = [];
  for (const one of primitives) parts.push(await upload(gl, program, one));
  return { at, parts, ...extent(primitives) };
}

async function upload(gl, program, one) {
  const shape = gl.createVertexArray();
  gl.bindVertexArray(shape);
  for (const [name, values, width] of [["position", one.positions, 3], ["normal", one.normals, 3], ["uv", one.uvs, 2]]) {
    const place = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, width, gl.FLOAT, false, 0, 0);
  }
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, one.indices, gl.STATIC_DRAW);
  const picture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, picture);
  if (one.image) {
    const bitmap = await createImageBitmap(one.image);
    gl.bindTexture(gl.TEXTURE_2D, picture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
    gl.generateMipmap(gl.TEXTURE_2D);
  } else {
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 1, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array([255, 255, 255, 255]));
  }
  return { shape, picture, matrix: one.matrix, colour: one.colour, count: one.indices.length };
}

// The middle of all corners, and how far the farthest of them is from it.
function extent(primitives) {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (const { positions, matrix: m } of primitives) {
    for (let at = 0; at < positions.length; at += 3) {
      const [x, y, z] = positions.subarray(at, at + 3);
      for (let axis = 0; axis < 3; axis += 1) {
        const value = m[axis] * x + m[4 + axis] * y + m[8 + axis] * z + m[12 + axis];
        low[axis] = Math.min(low[axis], value);
        high[axis] = Math.max(high[axis], value);
      }
    }
  }
  return { centre: low.map((value, axis) => (value + high[axis]) / 2), radius: Math.hypot(...low.map((value, axis) => high[axis] - value)) / 2 || 1 };
}

function perspective(aspect, away, radius) {
  const near = Math.max(away - 2 * radius, away / 100);
  const far = away + 2 * radius;
  const f = 1 / Math.tan(VIEW / 2);
  return [f / aspect, 0, 0, 0, 0, f, 0, 0, 0, 0, (far + near) / (near - far), -1, 0, 0, (2 * far * near) / (near - far), 0];
}

// From `place`, looking against `z`, the direction towards the eye.
function look(place, z) {
  const x = unit(cross([0, 1, 0], z));
  const y = cross(z, x);
  const dot = (a) => -(a[0] * place[0] + a[1] * place[1] + a[2] * place[2]);
  return [x[0], y[0], z[0], 0, x[1], y[1], z[1], 0, x[2], y[2], z[2], 0, dot(x), dot(y), dot(z), 1];
}

function cross(a, b) {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

function unit(a) {
  const length = Math.hypot(...a) || 1;
  return a.map((value) => value / length);
}

customElements.define("model-view", ModelView);
