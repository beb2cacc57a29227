"""Makes the table of operators that ONNX Runtime has kernels for: inference/src/session/kernels.txt.

The library itself is asked: for each operator a model of one node is opened on the CPU, with inputs of
each type until one is taken.  What it says tells whether there is such an operator, and whether the CPU
has a kernel for it.  Which of the others a GPU has is read off ONNX Runtime's docs/OperatorKernels.md,
as asking takes a GPU.  Needs onnx, and the onnxruntime that scripts/onnxruntime.sh pins.
"""

import itertools
import pathlib
import sys

import onnx
import onnxruntime
from onnx import TensorProto, helper

OUT = pathlib.Path(__file__).resolve().parent.parent / "inference/src/session/kernels.txt"
VERSION = "1.28."

# Operators of com.microsoft by name: Python can't list the library's own.
CONTRIB = """
Attention AttnLSTM BeamSearch BiasAdd BiasDropout BiasGelu BiasSoftmax BiasSplitGelu BifurcationDetector
BitmaskBiasDropout BitmaskDropout CDist ComplexMul ComplexMulConj ConvTransposeWithDynamicPads
CropAndResize DecoderAttention DecoderMaskedMultiHeadAttention DecoderMaskedSelfAttention
DequantizeLinear DequantizeWithOrder DynamicQuantizeLSTM DynamicQuantizeMatMul DynamicTimeWarping EPContext
EmbedLayerNormalization ExpandDims FastGelu FusedConv FusedGemm FusedMatMul FusedMatMulActivation
GatedRelativePositionBias GatherBlockQuantized GatherND Gelu GemmFastGelu GemmFloat8 GemmaRotaryEmbedding
GreedySearch GridSample GroupNorm GroupQueryAttention Inverse Irfft LongformerAttention MatMulBnb4
MatMulFpQ4 MatMulInteger16 MatMulIntegerToFloat MatMulNBits MaxpoolWithMask MoE MulInteger
MultiHeadAttention MurmurHash3 NGramRepeatBlock NhwcConv NhwcFusedConv NhwcMaxPool PackedAttention
PackedMultiHeadAttention Pad PagedAttention QAttention QGemm QLinearAdd QLinearAveragePool QLinearConcat
QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid
QLinearSoftmax QLinearWhere QMoE QOrderedAttention QOrderedGelu QOrderedLayerNormalization
QOrderedLongformerAttention QOrderedMatMul QuantizeBFP QuantizeLinear QuantizeWithOrder QuickGelu Range
ReduceSumInteger RelativePositionBias RemovePadding RestorePadding Rfft RotaryEmbedding SampleOp Sampling
SkipGroupNorm SkipLayerNormalization SkipSimplifiedLayerNormalization Snpe SparseAttention
SparseToDenseMatMul Tokenizer TorchEmbedding TransposeMatMul Trilu UnfoldTensor Unique WhisperBeamSearch
WordConvEmbedding
""".split()

# Those of com.microsoft that docs/OperatorKernels.md lists for the CUDA provider.
CUDA = set("""
Attention BeamSearch BiasAdd BiasDropout BiasSoftmax BiasSplitGelu BitmaskBiasDropout BitmaskDropout
ComplexMul ComplexMulConj ConvTransposeWithDynamicPads DecoderAttention DecoderMaskedMultiHeadAttention
DecoderMaskedSelfAttention DequantizeLinear DequantizeWithOrder DynamicTimeWarping
EmbedLayerNormalization FastGelu FusedConv FusedMatMul GatedRelativePositionBias GatherBlockQuantized Gelu
GemmFloat8 GemmaRotaryEmbedding GreedySearch GridSample GroupNorm GroupQueryAttention Inverse Irfft
LongformerAttention MatMulBnb4 MatMulNBits MoE MultiHeadAttention NGramRepeatBlock NhwcConv PackedAttention
PackedMultiHeadAttention PagedAttention QAttention QMoE QOrderedAttention QOrderedGelu
QOrderedLayerNormalization QOrderedLongformerAttention QOrderedMatMul QuantizeLinear QuantizeWithOrder
QuickGelu RelativePositionBias RemovePadding RestorePadding Rfft RotaryEmbedding Sampling SkipGroupNorm
SkipLayerNormalization SkipSimplifiedLayerNormalization SparseAttention TransposeMatMul Trilu UnfoldTensor
WhisperBeamSearch
""".split())

# Those of them without one for the CPU, as far as asking doesn't show it: they need particular inputs.
GPU_ONLY = set("""
BiasAdd BiasSplitGelu BitmaskBiasDropout ComplexMul ComplexMulConj DecoderAttention
DecoderMaskedSelfAttention DequantizeWithOrder GatedRelativePositionBias GemmFloat8 GemmaRotaryEmbedding
GroupNorm Irfft LongformerAttention NhwcConv PackedAttention PackedMultiHeadAttention PagedAttention
QOrderedAttention QOrderedGelu QOrderedLayerNormalization QOrderedLongformerAttention QOrderedMatMul
QuantizeWithOrder RelativePositionBias RemovePadding RestorePadding Rfft SkipGroupNorm
""".split())

FLOAT = [TensorProto.FLOAT, TensorProto.FLOAT16]
OTHER = [TensorProto.INT64, TensorProto.INT32, TensorProto.UINT8, TensorProto.INT8, TensorProto.BOOL,
         TensorProto.STRING, TensorProto.DOUBLE, TensorProto.UINT64]


def attributes(schema):
    """Values for the attributes that an operator can't do without."""
    kinds = onnx.defs.OpSchema.AttrType
    values = {kinds.INT: 1, kinds.INTS: [1, 1], kinds.FLOAT: 1.0, kinds.FLOATS: [1.0], kinds.STRING: "x",
              kinds.STRINGS: ["x"]}
    needed = schema.attributes.values() if schema else ()
    return {it.name: values[it.type] for it in needed if it.required and it.type in values}


def ask(domain, name, opset, types, schema):
    """What the library says of the operator with inputs of these types; empty if it takes it."""
    ports = [helper.make_tensor_value_info(f"x{at}", kind, None) for at, kind in enumerate(types)]
    node = helper.make_node(name, [port.name for port in ports], ["y"], domain=domain,
                            **attributes(schema))
    out = onnx.ValueInfoProto(name="y")
    graph = helper.make_graph([node], "one", ports, [out])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(domain, opset)] if domain else [
        helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options,
                                     providers=["CPUExecutionProvider"])
    except Exception as error:  # every kind of refusal is an answer
        return str(error)
    return ""


def kinds(schema):
    """Types of inputs to try."""
    if schema:
        least = max(schema.min_input, 0)
        formal = [schema.inputs[min(at, len(schema.inputs) - 1)] for at in range(least)]
        of_letter = {}
        for one in formal:
            of_letter.setdefault(one.type_str, [code for code in FLOAT + OTHER
                                                if tensor(code) in one.types] or [TensorProto.FLOAT])
        for choice in itertools.islice(itertools.product(*of_letter.values()), 60):
            chosen = dict(zip(of_letter, choice))
            yield [chosen[one.type_str] for one in formal]
        return
    for count in range(1, 9):
        for kind in FLOAT + OTHER:
            yield [kind] * count


def tensor(code):
    names = {TensorProto.FLOAT: "float", TensorProto.FLOAT16: "float16", TensorProto.DOUBLE: "double"}
    return f"tensor({names.get(code, TensorProto.DataType.Name(code).lower())})"


def provider(domain, name, opset, schema=None):
    """`cpu`, `none` where only others may have a kernel, or None where there is no such operator."""
    answers = set()
    for types in kinds(schema):
        said = ask(domain, name, opset, types, schema)
        if "is not a registered function/op" in said or "No Op registered" in said:
            return None
        missing = "Could not find an implementation" in said or "Failed to find kernel" in said
        early = not missing and any(word in said for word in (
            "INVALID_GRAPH", "Type Error", "ShapeInferenceError", "TypeInferenceError", "not in range",
            "Required attribute", "type inference failed"))
        if not missing and not early:
            return "cpu"
        answers.add("none" if missing else "unclear")
    # What never gets as far as its kernel is an operator that the library has.
    return "none" if "none" in answers or name in GPU_ONLY and domain else "cpu"


def main():
    assert onnxruntime.__version__.startswith(VERSION), onnxruntime.__version__
    lines = []
    for domain, shown, opset in (("", "ai.onnx", 26), ("ai.onnx.ml", "ai.onnx.ml", 5)):
        schemas = [it for it in onnx.defs.get_all_schemas() if it.domain == domain]
        for schema in schemas:
            found = provider(domain, schema.name, opset, schema)
            if found == "none":
                # A kernel may be there for the operator as older sets have it.
                olds = [it for it in onnx.defs.get_all_schemas_with_history()
                        if it.domain == domain and it.name == schema.name]
                found = next((now for old in olds
                              if (now := provider(domain, old.name, max(old.since_version, 7), old)) == "cpu"),
                             found)
            print(shown, schema.name, found, file=sys.stderr)
            if found == "cpu":
                lines.append(f"{shown} {schema.name} cpu")
    for name in CONTRIB:
        found = provider("com.microsoft", name, 1)
        print("com.microsoft", name, found, file=sys.stderr)
        if found == "cpu":
            lines.append(f"com.microsoft {name} cpu")
        elif found == "none" and name in CUDA:
            lines.append(f"com.microsoft {name} cuda")
    OUT.write_text("\n".join(sorted(lines)) + "\n")
    print(len(lines), "operators", file=sys.stderr)


if __name__ == "__main__":
    main()
