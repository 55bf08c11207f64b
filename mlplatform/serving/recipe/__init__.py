"""The image of a bento: what it must install, its Containerfile and its manifests. Not part of the bento itself."""
