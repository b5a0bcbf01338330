"""As much of PyTorch as the driver of LMCache asks for."""

Size = tuple
float16 = "float16"
