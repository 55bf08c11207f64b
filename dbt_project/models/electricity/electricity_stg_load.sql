-- Typed, one row per series and half-hour, named by its beginning; its values are known when it is over.
select
    cast(series_id as varchar) as series_id,
    cast(event_time as timestamp) as starts_at,
    cast(event_time as timestamp) + interval 30 minute as known_at,
    cast(demand as double) as demand,
    cast(temperature as double) as temperature
from {{ source('raw_electricity', 'load') }}
where series_id is not null and event_time is not null and demand is not null
