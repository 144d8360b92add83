"""Names that Keras has and minicnn has not: each is answered with one sentence.

The sentence says that the name is not part of minicnn, and the nearest thing that is. It comes with
an AttributeError, or with an ImportError for `from minicnn.keras.layers import LSTM`; a name that
Keras has not either is Python's plain error.
"""

import dis
import importlib.abc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

SEQUENCES = "minicnn is about images; use Keras for networks of sequences and text"
IMAGES_ONLY = "minicnn is about images: its layers end in 2D"
CHAINS = "models of minicnn are chains of layers, without branches"
RANDOM = "there are RandomFlip, RandomRotation, RandomZoom and ImageDataGenerator"
FORMULA = "write it as a Layer with forward and backward: help(minicnn.layers.Layer)"
ARRAYS = "data are NumPy arrays or a minicnn.data.Dataset"
LOSS = (
    "there are CategoricalCrossentropy, SparseCategoricalCrossentropy and MeanSquaredError; write "
    "another as a Loss: help(minicnn.losses.Loss)"
)
METRIC = "there is accuracy; write another as a Metric: help(minicnn.metrics.Metric)"
OPTIMIZER = (
    "there are Adam, SGD, RMSprop, Nadam and Adadelta; write another as an Optimizer: "
    "help(minicnn.optimizers.Optimizer)"
)
ACTIVATION = "there are relu, leaky_relu, sigmoid, tanh, softmax and linear"
INITIALIZER = "write it as an Initializer: help(minicnn.initializers.Initializer)"
CONFIG = "objects are described by get_config and made by from_config of their class"
TENSORS = "minicnn computes with NumPy arrays: use NumPy's function"

# For each module of Keras: names, and what to say about them.
LEFT_OUT: dict[str, dict[str, str]] = {
    "layers": {
        "LSTM LSTMCell GRU GRUCell SimpleRNN SimpleRNNCell RNN StackedRNNCells Bidirectional "
        "ConvLSTM1D ConvLSTM2D ConvLSTM3D TimeDistributed Embedding Masking RepeatVector "
        "Attention AdditiveAttention MultiHeadAttention GroupQueryAttention TextVectorization "
        "StringLookup IntegerLookup MelSpectrogram STFTSpectrogram ReversibleEmbedding": SEQUENCES,
        "Conv1D Conv3D Convolution1D Convolution3D Conv1DTranspose Conv3DTranspose "
        "Convolution1DTranspose Convolution3DTranspose DepthwiseConv1D SeparableConv1D "
        "SeparableConvolution1D MaxPooling1D MaxPooling3D MaxPool1D MaxPool3D AveragePooling1D "
        "AveragePooling3D AvgPool1D AvgPool3D GlobalAveragePooling1D GlobalAveragePooling3D "
        "GlobalAvgPool1D GlobalAvgPool3D GlobalMaxPooling1D GlobalMaxPooling3D GlobalMaxPool1D "
        "GlobalMaxPool3D Cropping1D Cropping3D UpSampling1D UpSampling3D ZeroPadding1D "
        "ZeroPadding3D SpatialDropout1D SpatialDropout3D AdaptiveAveragePooling1D "
        "AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling3D": IMAGES_ONLY,
        "Add Average Concatenate Dot Maximum Minimum Multiply Subtract add average concatenate dot "
        "maximum minimum multiply subtract": CHAINS,
        "AugMix AutoContrast CenterCrop ContrastLimitedAdaptiveHistogramEqualization CutMix "
        "Equalization MaxNumBoundingBoxes MixUp RandAugment RandomBrightness "
        "RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop "
        "RandomElasticTransform RandomErasing RandomGaussianBlur RandomGrayscale RandomHue "
        "RandomInvert RandomPerspective RandomPosterization RandomSaturation RandomSharpness "
        "RandomShear RandomTranslation Solarization Resizing Pipeline": RANDOM,
        "ActivityRegularization AdaptiveAveragePooling2D AdaptiveMaxPooling2D Conv2DTranspose "
        "Convolution2DTranspose Cropping2D DepthwiseConv2D EinsumDense ELU GroupNormalization "
        "Identity Lambda LayerNormalization Permute PReLU RMSNormalization SeparableConv2D "
        "SeparableConvolution2D SpectralNormalization UnitNormalization UpSampling2D Wrapper "
        "ZeroPadding2D": FORMULA,
        "AlphaDropout GaussianDropout GaussianNoise SpatialDropout2D": "there is Dropout",
        "CategoryEncoding Discretization HashedCrossing Hashing Normalization": (
            "there is Rescaling, and utils.to_categorical for labels"
        ),
        "FlaxLayer JaxLayer TFSMLayer TorchModuleWrapper": "it runs nothing but its own layers",
        "InputSpec deserialize serialize": CONFIG,
    },
    "models": {
        "clone_model": "Model.from_config(model.get_config()) makes a new one",
        "model_from_json": "minicnn.load_model reads a whole model",
    },
    "datasets": {
        "boston_housing california_housing imdb reuters": SEQUENCES.replace("text", "tables"),
        "cifar100": "datasets has mnist; others are read by minicnn.datasets.load_idx",
    },
    "utils": {
        "audio_dataset_from_directory image_dataset_from_directory text_dataset_from_directory "
        "timeseries_dataset_from_array split_dataset get_file pad_sequences FeatureSpace "
        "bounding_boxes PyDataset Sequence load_img save_img array_to_img img_to_array "
        "pack_x_y_sample_weight unpack_x_y_sample_weight": ARRAYS,
        "Config CustomObjectScope custom_object_scope deserialize_keras_object get_custom_objects "
        "get_registered_name get_registered_object register_keras_serializable "
        "serialize_keras_object legacy": "pass custom_objects to load_model",
        "Progbar disable_interactive_logging enable_interactive_logging "
        "is_interactive_logging_enabled": "fit, evaluate and predict have verbose",
        "model_to_dot": "plot_model draws a model",
        "get_source_inputs is_keras_tensor standardize_dtype": CHAINS,
        "normalize": "divide by np.linalg.norm",
    },
    "losses": {
        "BinaryCrossentropy BinaryFocalCrossentropy CTC CategoricalFocalCrossentropy "
        "CategoricalGeneralizedCrossEntropy CategoricalHinge Circle CosineSimilarity Dice Hinge "
        "Huber KLDivergence LogCosh MeanAbsoluteError MeanAbsolutePercentageError "
        "MeanSquaredLogarithmicError Poisson SquaredHinge Tversky binary_crossentropy "
        "binary_focal_crossentropy categorical_focal_crossentropy "
        "categorical_generalized_cross_entropy categorical_hinge circle cosine_similarity ctc dice "
        "hinge huber kl_divergence log_cosh mean_absolute_error mean_absolute_percentage_error "
        "mean_squared_logarithmic_error poisson squared_hinge tversky": LOSS,
        "deserialize get serialize": CONFIG,
    },
    "metrics": {
        "AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalCrossentropy "
        "CategoricalHinge ConcordanceCorrelation CosineSimilarity F1Score FBetaScore "
        "FalseNegatives FalsePositives Hinge IoU KLDivergence LogCoshError MeanAbsoluteError "
        "MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanSquaredError "
        "MeanSquaredLogarithmicError OneHotIoU OneHotMeanIoU PearsonCorrelation Poisson Precision "
        "PrecisionAtRecall R2Score Recall RecallAtPrecision RootMeanSquaredError "
        "SensitivityAtSpecificity SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy "
        "SpecificityAtSensitivity SquaredHinge Sum TopKCategoricalAccuracy TrueNegatives "
        "TruePositives binary_accuracy binary_crossentropy binary_focal_crossentropy "
        "categorical_accuracy categorical_crossentropy categorical_focal_crossentropy "
        "categorical_hinge concordance_correlation hinge huber kl_divergence log_cosh "
        "mean_absolute_error mean_absolute_percentage_error mean_squared_error "
        "mean_squared_logarithmic_error pearson_correlation poisson sparse_categorical_accuracy "
        "sparse_categorical_crossentropy sparse_top_k_categorical_accuracy squared_hinge "
        "top_k_categorical_accuracy": METRIC,
        "deserialize get serialize": CONFIG,
    },
    "optimizers": {
        "Adafactor Adagrad AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer MultiOptimizer Muon "
        "OptimizerMap ScheduleFreeAdamW legacy": OPTIMIZER,
        "deserialize get serialize": CONFIG,
    },
    "optimizers.schedules": {
        "CosineDecayRestarts": "there are CosineDecay and others; any function of the step will do",
        "deserialize serialize": CONFIG,
    },
    "callbacks": {
        "BackupAndRestore OrbaxCheckpoint": "there is ModelCheckpoint",
        "CallbackList ProgbarLogger": "fit makes its own; pass a list of callbacks",
        "RemoteMonitor TensorBoard": "there is CSVLogger, and minicnn.plots draws learning curves",
        "SwapEMAWeights": "write it as a Callback: help(minicnn.callbacks.Callback)",
    },
    "initializers": {
        "Identity IdentityInitializer Orthogonal OrthogonalInitializer STFT STFTInitializer "
        "identity orthogonal stft": INITIALIZER,
        "VarianceScaling variance_scaling": (
            "there are HeNormal, HeUniform, GlorotNormal, GlorotUniform, LecunNormal, LecunUniform"
        ),
        "deserialize get serialize": CONFIG,
    },
    "regularizers": {
        "OrthogonalRegularizer orthogonal_regularizer": (
            "there are L1, L2 and L1L2; write another as a Regularizer"
        ),
        "deserialize get serialize": CONFIG,
    },
    "activations": {
        "celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh "
        "log_sigmoid log_softmax mish relu6 selu silu soft_shrink softplus softsign sparse_plus "
        "sparse_sigmoid sparsemax squareplus swish tanh_shrink threshold": (
            f"{ACTIVATION}; write another as an Activation: help(minicnn.activations.Activation)"
        ),
        "deserialize get serialize": CONFIG,
    },
    "backend": {
        "get_uid is_float_dtype is_int_dtype is_keras_tensor result_type standardize_dtype "
        "set_epsilon set_floatx set_image_data_format": (
            "arrays are of float32 with the channels last; Sequential has a dtype"
        ),
    },
    "preprocessing": {
        "sequence text text_dataset_from_directory timeseries_dataset_from_array": SEQUENCES,
        "image_dataset_from_directory": ARRAYS,
    },
    "preprocessing.image": {
        "array_to_img img_to_array load_img save_img smart_resize": ARRAYS,
    },
    "random": {
        "SeedGenerator beta binomial categorical dropout gamma randint shuffle truncated_normal": (
            "use a numpy.random.Generator"
        ),
    },
    "": {
        "applications": "there are no trained models; train one with minicnn.Sequential",
        "config dtype_policies mixed_precision DTypePolicy FloatDTypePolicy": (
            "Sequential has a dtype, float32 or float64"
        ),
        "constraints": "weights are not constrained; regularizers has l1 and l2",
        "device distribution": "minicnn.set_num_threads says how many threads to use",
        "export saving": "model.save and minicnn.load_model write and read whole models",
        "distillation quantizers Quantizer wrappers visualization tree legacy src": (
            "minicnn.plots draws, the rest of it is Keras' own"
        ),
        "ops": TENSORS,
        "Function Operation InputSpec RematScope StatelessScope SymbolicScope Variable name_scope "
        "remat": FORMULA,
        "version": "minicnn.__version__ is a string",
    },
    "nn": {
        "conv2d max_pool max_pool2d avg_pool avg_pool2d dropout bias_add batch_normalization": (
            "use the layer of that name in minicnn.layers"
        ),
        "softmax_cross_entropy_with_logits sparse_softmax_cross_entropy_with_logits "
        "sigmoid_cross_entropy_with_logits": LOSS,
        "elu gelu selu silu swish relu6 crelu log_softmax softplus softsign": ACTIVATION,
    },
}


def sentence(module: str, name: str) -> str:
    """What to say about a name that Keras has; "" if it has not."""
    path = ".".join(filter(None, ("keras", module, name))) if module != "nn" else f"nn.{name}"
    for names, nearest in LEFT_OUT.get(module, {}).items():
        if name in names.split():
            return f"{path} is not part of minicnn: {nearest}"
    return ""


def module_getattr(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module of this package: it raises the error for an unknown name."""

    def __getattr__(name: str) -> Any:  # noqa: N807
        raise error_for(module, name, sys._getframe(1))

    return __getattr__


def error_for(module: str, name: str, asking: FrameType, other: str = "") -> Exception:
    """The error for a name that `module` has not; `asking` is the frame of the program.

    A name that Keras has not either is answered by `other`, or as Python does.
    """
    instruction = dis.opname[asking.f_code.co_code[asking.f_lasti]]
    kind = ImportError if instruction == "IMPORT_FROM" else AttributeError
    missing = f"module 'minicnn.keras.{module}' has no attribute {name!r}"
    found = sentence(module, name) or other
    return kind(found) if found else AttributeError(missing)


class Modules(importlib.abc.MetaPathFinder):
    """Answers the import of a module that Keras has and minicnn has not."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        package, _, inner = name.partition("minicnn.keras.")
        first, _, rest = inner.partition(".")
        if package or not inner:
            return
        module, last = (first, rest.split(".")[0]) if rest else ("", first)
        found = sentence(module, last) or sentence("", first)
        if found:
            raise ModuleNotFoundError(found, name=name)
