"""The optical scene: components that light passes, and the benches wired from them."""
