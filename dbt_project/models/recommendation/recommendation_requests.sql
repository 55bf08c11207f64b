{#- Who asks for movies, and when: everybody at each of the days in `recommendation_requests`, if they had rated anything by
    then, and at the end of the clock, for the service. What they liked within `horizon` days after is the label.

    Requests marked `hide` are asked again by a tenth of the people as if nothing were known of them (`profile_id` 0), so that
    the model learns what to say to somebody new. Person 0 is anyone, and nobody knows what anyone liked. -#}
{%- set origin = "timestamp '" ~ var('recommendation_origin') ~ "'" -%}
{%- set ends = origin ~ " + to_days(" ~ var('recommendation_clock_days') ~ ")" %}
with moments (event_time, answered_at, hide) as (
    values
    {%- for moment in var('recommendation_requests') %}
    ({{ origin }} + to_days({{ moment.day }}), {{ origin }} + to_days({{ moment.day + moment.horizon }}), {{ moment.hide }}),
    {%- endfor %}
    ({{ ends }}, cast(null as timestamp), false)
),

asked as (
    select r.user_id, m.event_time, m.answered_at, m.hide, max(r.rated_at) as asked_at
    from moments as m
    inner join {{ ref('recommendation_stg_ratings') }} as r on r.event_time <= m.event_time
    group by all
),

everybody as (
    select user_id, user_id as profile_id, event_time, answered_at, asked_at from asked
    union all
    select user_id, 0 as profile_id, event_time, answered_at, asked_at from asked where hide and hash(user_id) % 10 = 0
    union all
    select 0 as user_id, 0 as profile_id, event_time, null as answered_at, max(asked_at) from asked group by event_time
)

select
    user_id * 100000 + date_diff('day', {{ origin }}, event_time) * 10 + cast(profile_id <> user_id as integer) as request_id,
    *
from everybody
