{#- The examples: for each person the first visit of every year under observation (a day on which anything was
    measured), as long as they are alive, observed and without a major event so far: incident events are predicted, not
    second ones. Landmarking: van Houwelingen, Scandinavian Journal of Statistics 34 (2007).

    The label: 1 if death or a major event came within the horizon, 0 if they were followed through it without, and
    missing if they were lost before either: whoever left early is not event-free.

    To leave those out is not harmless: an event makes a label known early, so among the labels there are too many
    events (15 % for 10 %). Hence `label_weight`, one over the chance of having been followed so long, by Kaplan and
    Meier's product over those lost: Graf et al., Statistics in Medicine 18 (1999). Each year under observation has its
    own chances; one in which hardly anybody was followed through the horizon has no label at all. -#}
{%- set horizon = var('diagnosis_horizon_days') %}
with visits as (
    select
        m.person_id,
        date_diff('day', p.index_date, m.event_time) // 365 as year_observed,
        min(m.event_time) as event_time
    from {{ ref('diagnosis_stg_measurements') }} as m
    inner join {{ ref('diagnosis_stg_people') }} as p
        on m.person_id = p.person_id and m.event_time >= p.index_date and m.event_time < p.followed_until
    group by all
),

landmarks as (
    select
        v.person_id,
        v.year_observed,
        v.event_time,
        p.index_date,
        p.followed_until,
        min(d.event_time) filter (d.event_time <= v.event_time) as major_before,
        least(
            min(d.event_time) filter (d.event_time > v.event_time and d.event_time <= p.followed_until),
            any_value(case when p.died = 1 then p.followed_until end)
        ) as event_at,
        v.event_time + to_days({{ horizon }}) as horizon_at
    from visits as v
    inner join {{ ref('diagnosis_stg_people') }} as p on v.person_id = p.person_id
    left join {{ ref('diagnosis_stg_diagnoses') }} as d on v.person_id = d.person_id and d.is_major
    group by all
),

observed as (
    select
        *,
        case when event_at <= horizon_at then 1 when followed_until >= horizon_at then 0 end as outcome,
        date_diff('day', event_time, least(event_at, followed_until, horizon_at)) as days
    from landmarks
    where major_before is null
),

counted as (
    select year_observed, days, count(*) as people, count(*) filter (outcome is null) as lost
    from observed
    group by all
),

at_risk as (
    select *, sum(people) over (partition by year_observed order by days desc) as still_there
    from counted
),

chances as (
    select
        year_observed,
        days,
        -- Of being observed until that day: those lost on the day itself still were, and an event on a day comes before
        -- a loss. So the weights of a year add up to its examples.
        coalesce(
            exp(sum(ln(nullif(1 - lost / nullif(still_there - (people - lost), 0), 0))) over (
                partition by year_observed order by days rows between unbounded preceding and 1 preceding
            )),
            1
        ) as followed
    from at_risk
),

enough as (
    select year_observed, min(followed) filter (days >= {{ horizon }}) as followed_through
    from chances
    group by year_observed
)

select
    o.person_id * 100000 + date_diff('day', o.index_date, o.event_time) as example_id,
    o.person_id,
    o.event_time,
    cast(case when usable then o.outcome end as tinyint) as label,
    case when usable and o.outcome is not null then least(o.event_at, o.horizon_at) end as label_known_at,
    case when usable and o.outcome is not null then 1 / c.followed end as label_weight
from observed as o
inner join chances as c using (year_observed, days)
left join (
    select year_observed, coalesce(followed_through >= {{ var('diagnosis_min_followed_share') }}, false) as usable
    from enough
) using (year_observed)
