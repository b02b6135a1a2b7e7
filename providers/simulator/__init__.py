"""A local server that speaks the vendors' wire protocols, so that a desk works without a key or a cent.

It is as strict as the vendors (paths, bearer, fields, enums, ranges, their own error bodies), draws real
pictures, keeps a log of calls, and misbehaves on request (`POST /_faults`). It knows nothing of the desk:
no database, no queue. `server.Simulator` runs it; `manage.py simulator` and the tests do so.

    wire.py      HTTP/1.1 on asyncio: requests in, replies out, also replies that break off
    desk.py      faults waiting, calls seen, jobs, files, settings
    faults.py    the names of faults, and how a good reply is spoiled
    pictures.py  draws
    models.py    draws 3D models
    openai.py  huggingface.py …  one file per protocol
    server.py    routes, the control paths and the page at /
"""
