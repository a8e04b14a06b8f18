"""What runs on a worker: trains students and teachers, and records each trial in its folder.

Takes a ``config.TrialConfig``; gives checkpoints as ``record`` describes them. ``trainable.CTKDTrainable`` is usable in
any Ray Tuner; the rest does not know Ray. Nothing here imports ``ctkd_study``.
"""
