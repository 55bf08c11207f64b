{#- The examples: each candidate of each request. The label: 1 if the person rated it well within the request's horizon, 0 if
    not, whether they saw it or not; missing at the end of the clock, behind which nobody has looked. Known when the
    horizon is over, also if it is 1: until then nobody can tell which movies of a request are 0. -#}
select
    c.request_id * 10000000 + c.movie_id as example_id,
    c.request_id,
    c.user_id,
    q.profile_id,
    c.movie_id,
    c.event_time,
    q.asked_at,
    cast(case when q.answered_at is not null then r.movie_id is not null end as tinyint) as label,
    q.answered_at as label_known_at
from {{ ref('recommendation_candidates') }} as c
inner join {{ ref('recommendation_requests') }} as q on c.request_id = q.request_id
left join {{ ref('recommendation_stg_ratings') }} as r
    on c.user_id = r.user_id
    and c.movie_id = r.movie_id
    and r.liked
    and r.event_time > q.event_time
    and r.event_time <= q.answered_at
