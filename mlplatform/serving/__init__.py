"""The Bento service and its ASGI app. Imports only ml, lake and contracts."""
