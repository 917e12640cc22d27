"""Bodies that the OpenAPI document has no schema of: schemathesis loads this."""

import schemathesis
from hypothesis import strategies as st

from store.sync.wire import CONTENT_TYPE, Batch, RunName, encode_batch
from tests.sync.any_batches import batches


def _named(batch: Batch, run: RunName, first: int | None) -> bytes:
    """The batch as one of `run`, whose rows follow on the `first - 1` that are there."""
    sections = batch.sections
    if first is not None:
        sections = [section._replace(first=first) for section in sections]
    return encode_batch(Batch(run, batch.store, sections))


NAMES = st.builds(
    RunName,
    st.sampled_from(["ann", "crew", "nobody"]),
    st.sampled_from(["p", "q", "new"]),
    st.sampled_from(["r1", "r2", "r3"]),
)
schemathesis.openapi.media_type(
    CONTENT_TYPE,
    st.one_of(
        st.binary(max_size=40), st.builds(_named, batches, NAMES, st.sampled_from([1, None]))
    ),
)
