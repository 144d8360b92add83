"""The tests of minicnn. Which numbered behaviour is meant is in PROMISED_BEHAVIOUR.md."""

import os

# Read by TensorFlow when it is imported. TensorFlow 2.21 on the CPU convolves with oneDNN, which in
# single precision is wrong for some odd geometries (one channel, strides 1 and 2, a single column
# of outputs: 324 of 10,368 cases, with errors of up to 500,000), and sometimes corrupts the heap.
# Without oneDNN none of them is wrong.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
