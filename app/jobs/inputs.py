"""The SQL for whether the datasets and the model version that a job refers to still exist. Text only."""

from typing import Final

HAS_ITS_INPUTS: Final = """(
    (j.dataset_id IS NULL OR EXISTS (SELECT FROM datasets d WHERE d.id = j.dataset_id))
    AND (j.model_version_id IS NULL OR EXISTS (SELECT FROM model_versions v WHERE v.id = j.model_version_id))
    AND NOT EXISTS (
        SELECT FROM jsonb_each(j.files) file
        WHERE file.value ->> 'key' LIKE 'datasets/%' AND NOT EXISTS (
            SELECT FROM datasets d WHERE d.id = split_part(file.value ->> 'key', '/', 2)::uuid)))"""
"""Of the row `j` of `jobs`."""
