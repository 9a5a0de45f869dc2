"""Why a conversion fails. Neither is retried: another attempt would end the same way."""

from worker.context import JobError


class NotConvertible(JobError):
    """The model has a part that cannot be written as ONNX. `reason` completes the sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "not_convertible", f"The model cannot be converted to ONNX: {reason}", is_retryable=False
        )


class ConversionDiffers(JobError):
    """The converted model predicts something else, so it is not registered."""

    def __init__(self, message: str) -> None:
        super().__init__("conversion_differs", message, is_retryable=False)
