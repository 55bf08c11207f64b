{#- What is known at a midnight of the demand in one of the next half-hours: demand and temperature measured until then,
    the calendar as far as it was published, and the temperature as it was forecast then (the newest forecast of each
    half-hour). Beyond the calendar's end Monday to Friday count as working days, and `is_calendar_known` is 0. Nothing looks back further than `weeks` weeks, `naive_scale` apart (52). -#}
{%- set weeks = 4 -%}
{%- set days_back = [1, 2, 7, 14] -%}
{%- set ahead = 30 * [var('electricity_horizon_half_hours'), 48] | max %}
with asked as (
    select example_id, series_id, event_time, horizon, target_time
    from {{ ref('electricity_spine') }}
),

known as (
    select
        l.series_id,
        l.starts_at,
        l.known_at,
        l.demand,
        l.temperature,
        coalesce(c.work_day, cast(isodow(l.starts_at) <= 5 as tinyint)) as work_day,
        abs(l.demand - w.demand) as seasonal_error
    from {{ ref('electricity_stg_load') }} as l
    left join {{ ref('electricity_stg_load') }} as w
        on w.series_id = l.series_id and w.starts_at = l.starts_at - interval 7 day
    left join {{ ref('electricity_stg_calendar') }} as c
        on c.day = date_trunc('day', l.starts_at) and c.known_at <= l.known_at
),

days as (
    select distinct
        a.series_id,
        a.event_time,
        date_trunc('day', a.target_time) as day,
        coalesce(c.work_day, cast(isodow(a.target_time) <= 5 as tinyint)) as work_day,
        cast(c.work_day is not null as tinyint) as is_calendar_known
    from asked as a
    left join {{ ref('electricity_stg_calendar') }} as c
        on c.day = date_trunc('day', a.target_time) and c.known_at <= a.event_time
),

origins as (
    select distinct series_id, event_time from asked
),

series_level as (
    select
        o.series_id,
        o.event_time,
        arg_max(k.demand, k.starts_at) as last_value,
        avg(k.demand) filter (k.known_at > o.event_time - interval 1 day) as mean_1d,
        max(k.demand) filter (k.known_at > o.event_time - interval 1 day) as max_1d,
        avg(k.demand) filter (k.known_at > o.event_time - interval 3 hour) as mean_3h,
        avg(k.demand) filter (
            k.known_at > o.event_time - interval 171 hour and k.known_at <= o.event_time - interval 7 day
        ) as mean_3h_week_ago,
        avg(k.demand) as mean_28d,
        arg_max(k.temperature, k.starts_at) as temperature_last,
        avg(k.temperature) filter (k.known_at > o.event_time - interval 1 day) as temperature_mean_1d,
        max(k.temperature) filter (k.known_at > o.event_time - interval 1 day) as temperature_max_1d,
        min(k.temperature) filter (k.known_at > o.event_time - interval 1 day) as temperature_min_1d,
        avg(k.temperature) filter (k.known_at > o.event_time - interval 3 day) as temperature_mean_3d,
        arg_max(k.work_day, k.starts_at) as work_day_before
    from origins as o
    inner join known as k
        on k.series_id = o.series_id
        and k.known_at > o.event_time - interval {{ weeks * 7 }} day
        and k.known_at <= o.event_time
    group by o.series_id, o.event_time
),

series_scale as (
    select o.series_id, o.event_time, avg(k.seasonal_error) as scale
    from origins as o
    inner join known as k
        on k.series_id = o.series_id
        and k.known_at > o.event_time - interval 364 day
        and k.known_at <= o.event_time
    group by o.series_id, o.event_time
),

half_hour as (
    select
        a.example_id,
        {%- for n in days_back %}
        any_value(k.demand) filter (k.starts_at = a.target_time - interval {{ n }} day) as demand_{{ n }}d,
        {%- endfor %}
        any_value(k.temperature) filter (k.starts_at = a.target_time - interval 1 day) as temperature_1d,
        any_value(k.temperature) filter (k.starts_at = a.target_time - interval 7 day) as temperature_7d,
        avg(k.demand) filter (
            k.starts_at in (
                {%- for n in range(1, weeks + 1) %}a.target_time - interval {{ 7 * n }} day{{ ', ' if not loop.last }}{% endfor -%}
            )
        ) as demand_mean_4w,
        avg(k.demand) filter (k.work_day = d.work_day and k.starts_at >= a.target_time - interval 7 day) as demand_like_7d,
        avg(k.demand) filter (k.work_day = d.work_day) as demand_like_28d,
        arg_max(k.demand, k.starts_at) filter (k.work_day = d.work_day) as demand_like_last,
        avg(k.temperature) filter (k.work_day = d.work_day and k.starts_at >= a.target_time - interval 7 day)
            as temperature_like_7d,
        arg_max(k.demand, k.starts_at) filter (
            date_diff('day', k.starts_at, a.target_time) % 7 = 0
        ) as naive
    from asked as a
    inner join days as d
        on d.series_id = a.series_id and d.event_time = a.event_time and d.day = date_trunc('day', a.target_time)
    inner join known as k
        on k.series_id = a.series_id
        and k.known_at > a.event_time - interval {{ weeks * 7 }} day
        and k.known_at <= a.event_time
        and hour(k.starts_at) = hour(a.target_time)
        and minute(k.starts_at) = minute(a.target_time)
    group by a.example_id
),

forecast as (
    select o.event_time, f.target_time, arg_max(f.temperature, f.known_at) as temperature
    from (select distinct event_time from asked) as o
    inner join {{ ref('electricity_stg_weather') }} as f
        on f.known_at <= o.event_time
        and f.target_time >= o.event_time
        and f.target_time < o.event_time + interval {{ ahead }} minute
    group by o.event_time, f.target_time
),

forecast_day as (
    select event_time, avg(temperature) as mean, max(temperature) as max
    from forecast
    where target_time < event_time + interval 1 day
    group by event_time
)

select
    a.example_id,
    a.series_id,
    a.event_time,
    a.target_time,
    a.horizon,
    cast(2 * hour(a.target_time) + minute(a.target_time) // 30 as tinyint) as half_hour,
    cast(isodow(a.target_time) as tinyint) as weekday,
    cast(month(a.target_time) as tinyint) as month,
    d.work_day,
    d.is_calendar_known,
    s.work_day_before,
    s.last_value,
    s.mean_1d,
    s.max_1d,
    s.mean_28d,
    s.mean_3h / nullif(s.mean_3h_week_ago, 0) as evening_trend,
    {%- for n in days_back %}
    h.demand_{{ n }}d,
    {%- endfor %}
    h.demand_mean_4w,
    h.demand_like_last,
    h.demand_like_7d,
    h.demand_like_28d,
    s.temperature_last,
    s.temperature_mean_1d,
    s.temperature_max_1d,
    s.temperature_min_1d,
    s.temperature_mean_3d,
    h.temperature_1d,
    h.temperature_7d,
    h.temperature_like_7d,
    f.temperature as temperature_forecast,
    y.mean as temperature_forecast_mean,
    y.max as temperature_forecast_max,
    coalesce(h.naive, h.demand_1d, s.last_value) as naive,
    coalesce(nullif(e.scale, 0), nullif(abs(s.mean_28d), 0), 1) as naive_scale
from asked as a
inner join series_level as s using (series_id, event_time)
inner join series_scale as e using (series_id, event_time)
inner join half_hour as h using (example_id)
left join days as d
    on d.series_id = a.series_id and d.event_time = a.event_time and d.day = date_trunc('day', a.target_time)
left join forecast as f using (event_time, target_time)
left join forecast_day as y using (event_time)
