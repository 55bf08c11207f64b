{#- The series: one row per item and open day from the item's first sale to the last day of the data, 0 where nothing
    was sold. A day on which no item at all was sold is a closed day (variable `demand_no_sales_is_closed`): nobody could
    buy, so its demand is not 0 but unknown, and it has no row. -#}
with days as (
    select unnest(generate_series(min(day), max(day), interval 1 day)) as day
    from {{ ref('demand_stg_sales') }}
),

open_days as (
    select day
    from days
    {%- if var('demand_no_sales_is_closed') %}
    where day in (select day from {{ ref('demand_stg_sales') }})
    {%- endif %}
),

items as (
    select item_id, min(day) as first_day
    from {{ ref('demand_stg_sales') }}
    group by item_id
)

select
    i.item_id,
    d.day,
    d.day + interval 1 day as known_at,
    i.first_day,
    coalesce(s.quantity, 0) as quantity,
    s.price
from items as i
inner join open_days as d on d.day >= i.first_day
left join {{ ref('demand_stg_sales') }} as s on s.item_id = i.item_id and s.day = d.day
