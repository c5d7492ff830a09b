"""Why some ONNX operators are refused, and what would help."""

ELSEWHERE = "network.output or network.until can end the network before it"
SIZED = f"how many numbers it gives follows from the input: {ELSEWHERE}"
BITS = "bits of whole numbers, which digital units hold as floats"
TEXT = f"text, which no digital unit holds: {ELSEWHERE}"
RANDOM = "random numbers, which no other program gives again"
TRAINING = "training is a part of crossmesh: export the network without it"

REASONS = {
    **dict.fromkeys(["ConstantOfShape", "NonMaxSuppression", "NonZero", "Range", "Unique"], SIZED),
    **dict.fromkeys(["BitCast", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr"], BITS),
    "BitwiseXor": BITS,
    **dict.fromkeys(["RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit"], TEXT),
    **dict.fromkeys(["TfIdfVectorizer", "LabelEncoder", "CategoryMapper", "ZipMap"], TEXT),
    **dict.fromkeys(["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"], RANDOM),
    **dict.fromkeys(["RandomUniform", "RandomUniformLike"], RANDOM),
    **dict.fromkeys(["Adagrad", "Adam", "Gradient", "Momentum"], TRAINING),
    "ImageDecoder": "a file in a tensor: decode images before",
}


def reason_of(operator: str) -> str:
    """Why an operator that nothing translates is refused."""
    return REASONS.get(operator, f"no digital unit computes it: {ELSEWHERE}")
