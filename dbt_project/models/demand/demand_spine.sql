{#- The examples: at the end of each day (midnight, `event_time`), each item on sale and each of the next days. Horizon 1
    is the day that begins at `event_time`.

    The label is what was sold on that day, and known when the day is over; missing where the shop was closed or the
    day is yet to come: those rows answer the next request. An item is on sale from its first sale on, until it has not
    been sold for `demand_delisted_after_days` days. -#}
{%- set horizons = var('demand_horizon_days') %}
with last_sold as (
    select
        item_id,
        known_at as event_time,
        last_value(case when quantity > 0 then day end ignore nulls) over (
            partition by item_id order by day
        ) as last_sold_day
    from {{ ref('demand_stg_daily') }}
),

origins as (
    select item_id, event_time
    from last_sold
    where event_time - last_sold_day <= to_days({{ var('demand_delisted_after_days') }})
),

asked as (
    select
        o.item_id,
        o.event_time,
        cast(h.horizon as smallint) as horizon,
        o.event_time + to_days(cast(h.horizon - 1 as integer)) as target_time
    from origins as o
    cross join (select unnest(range(1, {{ horizons + 1 }})) as horizon) as h
)

select
    {{ forecast_key('a.item_id', 'a.event_time', 'a.horizon') }} as example_id,
    a.item_id,
    a.event_time,
    a.horizon,
    a.target_time,
    d.quantity as label,
    d.known_at as label_known_at
from asked as a
left join {{ ref('demand_stg_daily') }} as d on d.item_id = a.item_id and d.day = a.target_time
