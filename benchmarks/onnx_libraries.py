"""The libraries that run ONNX models: inference only."""

from typing import Any

import numpy as np
from libraries import Library
from networks import Network, channels_first


def onnx_model(network: Network, weights: list[np.ndarray]) -> bytes:
    """The network as the content of an ONNX file, for batches of any size."""
    from onnx import TensorProto, helper, numpy_helper

    arrays = channels_first(network, weights)
    names = [f"weight_{number}" for number in range(len(arrays))]
    pairs = list(zip(names[::2], names[1::2], strict=True))
    nodes: list[Any] = []

    def add(kind: str, *inputs: str, **attributes: Any) -> None:
        source = nodes[-1].output[0] if nodes else "x"
        output = f"{kind}_{len(nodes)}"
        nodes.append(helper.make_node(kind, [source, *inputs], [output], **attributes))

    for pair in pairs[: len(network.filters)]:
        add("Conv", *pair, pads=[network.kernel_size // 2] * 4)
        add("Relu")
        add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    add("Flatten")
    *hidden, last = pairs[len(network.filters) :]
    for pair in hidden:
        add("Gemm", *pair, transB=1)
        add("Relu")
    add("Gemm", *last, transB=1)
    add("Softmax", axis=1)

    h, w, c = network.input_shape
    images = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", c, h, w])
    result = helper.make_tensor_value_info(
        nodes[-1].output[0], TensorProto.FLOAT, ["n", network.units[-1]]
    )
    constants = [numpy_helper.from_array(a, name) for a, name in zip(arrays, names, strict=True)]
    graph = helper.make_graph(nodes, "network", [images], [result], constants)
    # Versions of 2021, which all current libraries can read.
    opsets = [helper.make_opsetid("", 13)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


class OnnxRuntime(Library):
    """ONNX Runtime with all graph optimisations."""

    def __init__(self, network, weights, threads):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(
            onnx_model(network, weights), options, providers=["CPUExecutionProvider"]
        )

    def place(self, x):
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))

    def probabilities(self, x):
        return self.session.run(None, {"x": x})[0]


class OpenVino(Library):
    """OpenVINO, told to compute in float32: on some processors its default is bfloat16.

    With `streams`, it runs several batches at once, each on one core.
    """

    def __init__(self, network, weights, threads, streams=False):
        import openvino

        self.openvino, self.streams = openvino, streams
        self.core = openvino.Core()
        self.model = onnx_model(network, weights)
        self.options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "THROUGHPUT" if streams else "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
        }
        self.requests: dict[tuple[int, ...], Any] = {}

    place = OnnxRuntime.place

    def _request(self, shape):
        """Of the model compiled for one batch size, which is faster than one for any size."""
        if shape not in self.requests:
            model = self.core.read_model(self.model)
            model.reshape(list(shape))
            compiled = self.core.compile_model(model, "CPU", self.options)
            self.requests[shape] = compiled.create_infer_request()
        return self.requests[shape]

    def probabilities(self, x):
        return self._request(x.shape).infer([x], share_inputs=True, share_outputs=True)[0]

    def accuracy(self, x, y, batch_size):
        whole = len(y) // batch_size * batch_size
        if not self.streams or not whole:
            return super().accuracy(x, y, batch_size)
        classes = np.empty(whole, int)

        def note(request, start):
            probabilities = request.get_output_tensor(0).data
            classes[start : start + batch_size] = probabilities.argmax(axis=1)

        compiled = self._request((batch_size, *x.shape[1:])).get_compiled_model()
        queue = self.openvino.AsyncInferQueue(compiled)
        queue.set_callback(note)
        for start in range(0, whole, batch_size):
            queue.start_async([x[start : start + batch_size]], userdata=start, share_inputs=True)
        queue.wait_all()
        right = np.count_nonzero(classes == y[:whole])
        if whole < len(y):
            right += np.count_nonzero(self.probabilities(x[whole:]).argmax(axis=1) == y[whole:])
        return right / len(y)
