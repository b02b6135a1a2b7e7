"""A launcher with nothing but the services: says when they are up, and stops when its input ends."""

from __future__ import annotations

import sys

from config.embedded import services
from config.embedded.supervisor import Supervisor


def main() -> None:
    keeper = Supervisor()
    try:
        with services.the_only_one():
            services.prepare()
            parts = [services.postgres(), services.redis()]
            for part in parts:
                keeper.add(part, is_service=True)
                services.await_start(part)
            print(*(part.process.pid for part in parts if part.process), flush=True)
            sys.stdin.read()
            keeper.stop()
            services.clean_up()
    except services.ServiceError as error:
        sys.exit(f"atelier: {error}")


if __name__ == "__main__":
    main()
