"""What people do with a quantizer, task by task: the program that each tool needs for it, its lines and its seconds."""
