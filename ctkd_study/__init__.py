"""A study platform for Curriculum Temperature Knowledge Distillation: from a question to an answer."""
