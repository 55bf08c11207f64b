"""The movies that are ranked for each request: a thin wrapper, the method stands in the use case's retrieval.py."""


def model(dbt, session):
    """One row per request and candidate; see the description of the columns in _recommendation.yml."""
    from mlplatform.use_cases.recommendation.retrieval import find_candidates

    del session
    dbt.config(materialized="table")
    return find_candidates(
        dbt.ref("recommendation_stg_ratings").df(),
        dbt.ref("recommendation_covisits").df(),
        dbt.ref("recommendation_requests").df(),
    )
