-- Typed, one row per day: holidays and closures that were announced, and since when that is known.
select
    cast(day as timestamp) as day,
    cast(known_at as timestamp) as known_at,
    cast(holiday as varchar) as holiday,
    coalesce(cast(closed as tinyint), 0) as closed
from {{ source('raw_demand', 'calendar') }}
where day is not null and known_at is not null
