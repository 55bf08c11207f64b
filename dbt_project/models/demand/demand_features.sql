{#- What is known of an item's demand at the end of a day, for one of the next days. Sales count from the end of their day
    on (`known_at <= event_time`); of the day that is asked for, only the calendar is known. Beyond the calendar's end no day is a holiday or closed,
    and `is_calendar_known` is 0.

    An item's weekdays alone say little (16 values in 16 weeks, each a count around 4), so the shape of the week is
    taken from the whole shop, and `expected` is the item's level times that shape. Nothing looks back further than
    `lookback` days. -#}
{%- set level = 112 -%}
{%- set year = 364 %}
with asked as (
    select example_id, item_id, event_time, horizon, target_time, isodow(target_time) as weekday
    from {{ ref('demand_spine') }}
),

origins as (
    select distinct item_id, event_time from asked
),

moments as (
    select distinct event_time from asked
),

known as (
    select
        d.item_id, d.day, d.known_at, d.first_day, d.quantity, d.price,
        isodow(d.day) as weekday,
        abs(d.quantity - w.quantity) as seasonal_error
    from {{ ref('demand_stg_daily') }} as d
    left join {{ ref('demand_stg_daily') }} as w on w.item_id = d.item_id and w.day = d.day - interval 7 day
),

item_level as (
    select
        o.item_id,
        o.event_time,
        least(date_diff('day', any_value(k.first_day), o.event_time), {{ level }}) as days_on_sale,
        arg_max(k.quantity, k.day) as last_value,
        avg(k.quantity) filter (k.known_at > o.event_time - interval 7 day) as mean_7d,
        avg(k.quantity) filter (k.known_at > o.event_time - interval 28 day) as mean_28d,
        avg(k.quantity) as mean_112d,
        quantile_cont(k.quantity, 0.1) as low_112d,
        quantile_cont(k.quantity, 0.9) as high_112d,
        avg(cast(k.quantity = 0 as tinyint)) filter (k.known_at > o.event_time - interval 28 day) as zero_share_28d,
        avg(k.price) filter (k.known_at > o.event_time - interval 28 day) as price_28d
    from origins as o
    inner join known as k
        on k.item_id = o.item_id
        and k.known_at > o.event_time - interval {{ level }} day
        and k.known_at <= o.event_time
    group by o.item_id, o.event_time
),

item_scale as (
    select o.item_id, o.event_time, avg(k.seasonal_error) as scale
    from origins as o
    inner join known as k
        on k.item_id = o.item_id
        and k.known_at > o.event_time - interval {{ year }} day
        and k.known_at <= o.event_time
    group by o.item_id, o.event_time
),

item_weekday as (
    select
        o.item_id,
        o.event_time,
        k.weekday,
        arg_max(k.quantity, k.day) as last_quantity,
        avg(k.quantity) filter (k.known_at > o.event_time - interval 28 day) as mean_4w,
        avg(k.quantity) as mean_16w
    from origins as o
    inner join known as k
        on k.item_id = o.item_id
        and k.known_at > o.event_time - interval {{ level }} day
        and k.known_at <= o.event_time
    group by o.item_id, o.event_time, k.weekday
),

shop_days as (
    select
        day,
        known_at,
        weekday,
        avg(quantity) as mean_quantity,
        sum(quantity) as total,
        avg(seasonal_error) as seasonal_error
    from known
    group by day, known_at, weekday
),

shop_level as (
    select
        m.event_time,
        avg(s.total) as total_112d,
        avg(s.total) filter (s.known_at > m.event_time - interval 7 day) as total_7d,
        avg(s.total) filter (s.known_at > m.event_time - interval 28 day) as total_28d,
        avg(s.mean_quantity) as mean_quantity,
        avg(s.seasonal_error) as scale
    from moments as m
    inner join shop_days as s
        on s.known_at > m.event_time - interval {{ level }} day and s.known_at <= m.event_time
    group by m.event_time
),

shop_weekday as (
    select m.event_time, s.weekday, avg(s.total) as total
    from moments as m
    inner join shop_days as s
        on s.known_at > m.event_time - interval {{ level }} day and s.known_at <= m.event_time
    group by m.event_time, s.weekday
),

week as (
    select event_time, weekday, total / nullif(avg(total) over (partition by event_time), 0) as share
    from shop_weekday
)

select
    a.example_id,
    a.item_id,
    a.event_time,
    a.target_time,
    a.horizon,
    cast(a.weekday as tinyint) as weekday,
    cast(month(a.target_time) as tinyint) as month,
    cast(day(a.target_time) as tinyint) as day_of_month,
    cast(c.holiday is not null as tinyint) as is_holiday,
    cast(t.holiday is not null as tinyint) as is_holiday_eve,
    c.holiday,
    coalesce(c.closed, 0) as is_closed,
    cast(c.day is not null as tinyint) as is_calendar_known,
    i.days_on_sale,
    i.last_value,
    i.mean_7d,
    i.mean_28d,
    i.mean_112d,
    i.low_112d,
    i.high_112d,
    i.zero_share_28d,
    i.price_28d,
    w.mean_4w as weekday_mean_4w,
    w.mean_16w as weekday_mean_16w,
    s.total_7d / nullif(s.total_112d, 0) as shop_trend_7d,
    s.total_28d / nullif(s.total_112d, 0) as shop_trend_28d,
    coalesce(k.share, 1) as weekday_share,
    i.mean_112d * coalesce(k.share, 1) as expected,
    coalesce(w.last_quantity, i.last_value) as naive,
    coalesce(nullif(e.scale, 0), nullif(s.scale, 0), nullif(s.mean_quantity, 0), 1) as naive_scale
from asked as a
inner join item_level as i using (item_id, event_time)
inner join item_scale as e using (item_id, event_time)
inner join shop_level as s using (event_time)
left join item_weekday as w using (item_id, event_time, weekday)
left join week as k using (event_time, weekday)
left join {{ ref('demand_stg_calendar') }} as c
    on c.day = a.target_time and c.known_at <= a.event_time
left join {{ ref('demand_stg_calendar') }} as t
    on t.day = a.target_time + interval 1 day and t.known_at <= a.event_time
