"""The staff console's rooms over requests and what belongs to them, and the desk's front page.

Everything is visible and nothing that the engine owns is edited by hand: staff use verbs (`config.staff`).
"""

from generation.admin import bulks, lanes, library, records, requests, stories

__all__ = ["bulks", "lanes", "library", "records", "requests", "stories"]
