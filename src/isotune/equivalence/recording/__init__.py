"""Records a trace: steps that are watched, and steps that go on."""
