"""The OpenAPI 3.1 document of one live model: `document.py`; the other files hold its parts."""
