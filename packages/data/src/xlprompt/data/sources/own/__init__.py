"""A folder that is a task of the user's own: what its files are, what task they make, and their rows.

`layout` reads split and language off names, `tables` reads files, `task_file` the `task.yaml`, `infer` finds
out the rest, `folder` puts it together, and `example` writes a first folder.
"""
