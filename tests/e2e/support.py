"""What the stories share: texts, how to follow a job, and what VADER itself says."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

END_SECONDS = 30


def short_texts(count: int) -> list[str]:
    """Texts that all get different scores from their neighbours."""
    words = ("good", "bad", "great", "awful", "blue", "lovely", "horrible", "fine", "wonderful")
    return [f"{number} {words[number % 9]} and {words[number // 9 % 9]} things" for number in range(count)]


def slow_texts(count: int) -> list[str]:
    """Texts that take VADER some 15 ms each, and get different scores from their neighbours."""
    return [text + " table and chair" * 1200 for text in short_texts(count)]


def compounds(texts: list[str]) -> list[float]:
    """VADER's own scores, computed here."""
    analyzer = SentimentIntensityAnalyzer()
    return [analyzer.polarity_scores(text)["compound"] for text in texts]


async def submit(client: httpx.AsyncClient, texts: list[str], **more: Any) -> str:
    """The id of a new job."""
    answer = await client.post("/jobs/batch-predict", json={"texts": texts, **more})
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


async def wait_for_end(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """The job, once it has ended."""
    answer = await client.get(f"/jobs/{job_id}", params={"wait": END_SECONDS}, timeout=END_SECONDS + 5)
    job: dict[str, Any] = answer.json()
    assert job["status"] in ("completed", "failed", "cancelled"), job
    return job


async def follow(client: httpx.AsyncClient, job_id: str, **headers: str) -> AsyncIterator[dict[str, Any]]:
    """The events of a job's stream."""
    async with client.stream("GET", f"/jobs/{job_id}/stream", headers=headers) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data:"):
                yield json.loads(line.removeprefix("data:"))


async def until_done(client: httpx.AsyncClient, job_id: str, rows: int) -> dict[str, Any]:
    """The job, once it has committed at least so many rows."""
    async with asyncio.timeout(END_SECONDS):
        while True:
            job: dict[str, Any] = (await client.get(f"/jobs/{job_id}")).json()
            if job["done"] >= rows:
                return job
            assert job["status"] in ("pending", "running"), job
            await asyncio.sleep(0.01)


async def stored_compounds(client: httpx.AsyncClient, job_id: str) -> list[float]:
    """The scores stored as a job's results, in order; no row may be missing or there twice."""
    answer = await client.get(f"/jobs/{job_id}/results", headers={"Accept": "application/x-ndjson"})
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["input_index"] for row in rows] == list(range(len(rows)))
    return [row["prediction"]["scores"]["compound"] for row in rows]
