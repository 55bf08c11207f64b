-- Typed, one row per item and day on which it was sold; the day's sales are known when the day is over.
with typed as (
    select
        cast(item_id as varchar) as item_id,
        date_trunc('day', cast(event_time as timestamp)) as day,
        cast(quantity as double) as quantity,
        cast(price as double) as price
    from {{ source('raw_demand', 'sales') }}
    where item_id is not null and event_time is not null and quantity is not null
)

select
    item_id,
    day,
    day + interval 1 day as known_at,
    sum(quantity) as quantity,
    -- The mean price paid, over the units that have one.
    sum(price * quantity) / nullif(sum(quantity) filter (price is not null), 0) as price
from typed
group by item_id, day
