-- Typed, one row per half-hour and forecast of it.
select
    cast(target_time as timestamp) as target_time,
    cast(known_at as timestamp) as known_at,
    cast(temperature as double) as temperature
from {{ source('raw_electricity', 'weather') }}
where target_time is not null and known_at is not null
