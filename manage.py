#!/usr/bin/env python
"""Django's command line. Without settings of its own it talks to the desk that `make run` started."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from config import env

    try:
        env.use_local_desk()
        from django.core.management import execute_from_command_line
        from django.db import OperationalError

        try:
            execute_from_command_line(sys.argv)
        except OperationalError as error:
            sys.exit(f"atelier: the database cannot be used: {error}\nIs the desk running? `make run` starts one.")
    except env.SettingError as error:
        sys.exit(f"atelier: {error}")


if __name__ == "__main__":
    main()
