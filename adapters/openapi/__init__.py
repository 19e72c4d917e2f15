"""The contract as an OpenAPI 3.1 document, and the page on which people read it."""
