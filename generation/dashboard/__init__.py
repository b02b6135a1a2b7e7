"""The signed-in customer's pages under `/app/`: ask for work, watch it, look at what was made, follow the credits.

Every page is whole without JavaScript. With it, `live.js` moves the bars and htmx fetches the same
fragments that the pages are made of.
"""
