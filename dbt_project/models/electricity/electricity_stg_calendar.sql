-- Typed, one row per day.
select
    cast(day as timestamp) as day,
    cast(known_at as timestamp) as known_at,
    cast(work_day as tinyint) as work_day
from {{ source('raw_electricity', 'calendar') }}
where day is not null and known_at is not null
