{#- Movies that the same people rated shortly before or after one another, as known at each moment somebody asks.

    Two ratings of one person that lie k apart in their order count 1/k, up to `recommendation_window` apart. Divided by the
    root of how often either was rated (cosine), so that what everybody has rated does not go with everything; 5 more
    for each, so that two movies with one rating do not go together best of all. Weights are summed as whole numbers, in
    parts of 2520 (what 1 to 10 divide): sums of floats depend on their order. -#}
{%- set unit = 2520 %}
with moments as (
    select distinct event_time as learned_at from {{ ref('recommendation_requests') }}
),

-- Joined on equal places: a range of places makes DuckDB compare all ratings of a person with one another (33 s for 0.4).
ahead as materialized (
    select user_id, movie_id, position + apart as position, {{ unit }} // apart as weight
    from {{ ref('recommendation_stg_ratings') }}, range(1, {{ var('recommendation_window') + 1 }}) as steps (apart)
),

pairs as (
    select a.movie_id as earlier, b.movie_id as later, a.weight, b.event_time
    from ahead as a
    inner join {{ ref('recommendation_stg_ratings') }} as b on a.user_id = b.user_id and a.position = b.position
),

both_ways as (
    select earlier as movie_id, later as other_id, weight, weight as weight_after, event_time from pairs
    union all
    select later as movie_id, earlier as other_id, weight, 0 as weight_after, event_time from pairs
),

summed as materialized (
    select m.learned_at, p.movie_id, p.other_id, sum(p.weight) as weight, sum(p.weight_after) as weight_after
    from both_ways as p
    inner join moments as m on p.event_time <= m.learned_at
    group by all
),

rated as (
    select m.learned_at, r.movie_id, sqrt(count(*) + 5) as root
    from {{ ref('recommendation_stg_ratings') }} as r
    inner join moments as m on r.event_time <= m.learned_at
    group by all
),

-- In two steps: asked for both roots at once, DuckDB joins all movies with all movies first.
halfway as materialized (
    select s.*, a.root
    from summed as s
    inner join rated as a on s.learned_at = a.learned_at and s.movie_id = a.movie_id
)

select
    s.learned_at,
    s.movie_id,
    s.other_id,
    round(s.weight / {{ unit }} / (s.root * b.root), 6) as together,
    round(s.weight_after / {{ unit }} / (s.root * b.root), 6) as other_after
from halfway as s
inner join rated as b on s.learned_at = b.learned_at and s.other_id = b.movie_id
qualify row_number() over (partition by s.learned_at, s.movie_id order by together desc, s.other_id)
    <= {{ var('recommendation_neighbours') }}
