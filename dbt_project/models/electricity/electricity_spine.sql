{#- The examples: at each midnight after a half-hour was measured, each series and each of the next half-hours. Horizon 1
    is the half-hour that begins at `event_time`. The label is its demand, known when it is over; missing where it was not
    measured or is yet to come: those rows answer the next request. -#}
{%- set horizons = var('electricity_horizon_half_hours') %}
with origins as (
    select distinct series_id, known_at as event_time
    from {{ ref('electricity_stg_load') }}
    where known_at = date_trunc('day', known_at)
),

asked as (
    select
        o.series_id,
        o.event_time,
        cast(h.horizon as smallint) as horizon,
        o.event_time + to_minutes(cast(30 * (h.horizon - 1) as integer)) as target_time
    from origins as o
    cross join (select unnest(range(1, {{ horizons + 1 }})) as horizon) as h
)

select
    {{ forecast_key('a.series_id', 'a.event_time', 'a.horizon') }} as example_id,
    a.series_id,
    a.event_time,
    a.horizon,
    a.target_time,
    l.demand as label,
    l.known_at as label_known_at
from asked as a
left join {{ ref('electricity_stg_load') }} as l on l.series_id = a.series_id and l.starts_at = a.target_time
