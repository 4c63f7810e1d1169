"""The bundle: one folder with everything a device needs to run a model and to prove itself."""
