"""What runs on a worker: the CTKD trainer and its Ray Tune Trainable, usable in anyone's own Tuner."""
