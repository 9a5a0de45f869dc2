"""The command that helps after an error of the server, by its code; people see it after the sentence."""

from typing import Final

COMMAND_ADVICE: Final[dict[str, str]] = {
    "alias_not_found": "Try 'headrace models show MODEL'.",
    "ambiguous_column": "Name the text column with --column; 'headrace datasets show DATASET' lists columns.",
    "bad_header": "Try the options of 'headrace datasets upload --help', such as --delimiter and --encoding.",
    "bad_row": "Try the options of 'headrace datasets upload --help', such as --encoding and --delimiter.",
    "column_mismatch": "Try 'headrace models show MODEL', and --column-type when you upload the file.",
    "dataset_in_use": "Wait for the jobs that need it, or cancel them: 'headrace jobs list' shows them.",
    "dataset_not_found": "Try 'headrace datasets list'.",
    "job_not_found": "Try 'headrace jobs list'.",
    "missing_columns": "Try 'headrace models show MODEL' and 'headrace datasets show DATASET'.",
    "model_in_use": "Wait for the jobs that need it, or cancel them: 'headrace jobs list' shows them.",
    "model_not_found": "Try 'headrace models list'.",
    "model_quota_exceeded": "Delete versions that you no longer need: 'headrace models versions MODEL'.",
    "quota_exceeded": "Delete what you no longer need: 'headrace datasets list', 'headrace models list'.",
    "unknown_column": "Try 'headrace datasets show DATASET'.",
}
