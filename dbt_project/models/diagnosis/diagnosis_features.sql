{#- What is known at the end of the day of a landmark: measurements of that day and of the ten years before, and
    diagnoses of that day and ever before. Neither `died` nor `followed_until` of a person is read. -#}
{%- set lookback = 3650 -%}
{%- set recent = 730 -%}
{%- set tests = {'sbp': 'sbp_last', 'hdl': 'hdl_last', 'chol': 'chol_last', 'dbp': 'dbp_last', 'fib4': 'fib4_last',
                 'smoke': 'smokes'} -%}
{%- set flags = {'diabetes': 'diabetes', 'htn': 'hypertension', 'dyslipidemia': 'dyslipidemia', 'nafld': 'fatty_liver',
                 'ang/isc': 'angina', 'afib': 'atrial_fibrillation'} %}
with asked as (
    select s.example_id, s.person_id, s.event_time, p.index_date, p.age, p.male, p.bmi
    from {{ ref('diagnosis_spine') }} as s
    left join {{ ref('diagnosis_stg_people') }} as p on s.person_id = p.person_id
),

measured as (
    select
        a.example_id,
        {%- for test, name in tests.items() %}
        arg_max(m.value, m.event_time) filter (m.test = '{{ test }}') as {{ name }},
        {%- endfor %}
        {%- for test in ['sbp', 'hdl'] %}
        date_diff('day', max(m.event_time) filter (m.test = '{{ test }}'), any_value(a.event_time)) as {{ test }}_days_since,
        avg(m.value) filter (m.test = '{{ test }}' and m.event_time > a.event_time - to_days({{ recent }})) as {{ test }}_mean_2y,
        avg(m.value) filter (m.test = '{{ test }}' and m.event_time <= a.event_time - to_days({{ recent }})) as {{ test }}_before,
        {%- endfor %}
        count(distinct m.event_time) filter (m.event_time > a.event_time - to_days({{ recent }})) as measured_days_2y
    from asked as a
    inner join {{ ref('diagnosis_stg_measurements') }} as m
        on a.person_id = m.person_id
        and m.event_time between a.event_time - to_days({{ lookback }}) and a.event_time
    where m.value is not null
    group by a.example_id
),

diagnosed as (
    select
        a.example_id,
        {%- for diagnosis, name in flags.items() %}
        count(*) filter (d.diagnosis = '{{ diagnosis }}') as {{ name }},
        {%- endfor %}
        date_diff('day', max(d.event_time) filter (d.diagnosis = 'ang/isc'), any_value(a.event_time)) as since_angina,
        date_diff('day', min(d.event_time), any_value(a.event_time)) as since_first
    from asked as a
    inner join {{ ref('diagnosis_stg_diagnoses') }} as d
        on a.person_id = d.person_id and d.event_time <= a.event_time
    group by a.example_id
)

select
    a.example_id,
    a.person_id,
    a.event_time,
    a.age + date_diff('day', a.index_date, a.event_time) / 365.25 as age,
    case
        when a.age + date_diff('day', a.index_date, a.event_time) / 365.25 < 50 then 'under 50'
        when a.age + date_diff('day', a.index_date, a.event_time) / 365.25 < 65 then '50 to 64'
        else '65 and over'
    end as age_band,
    a.male,
    a.bmi,
    date_diff('day', a.index_date, a.event_time) / 365.25 as years_observed,
    {%- for name in tests.values() %}
    m.{{ name }},
    {%- endfor %}
    {%- for test in ['sbp', 'hdl'] %}
    m.{{ test }}_days_since,
    m.{{ test }}_mean_2y,
    m.{{ test }}_last - m.{{ test }}_before as {{ test }}_change,
    {%- endfor %}
    coalesce(m.measured_days_2y, 0) as measured_days_2y,
    {%- for name in flags.values() %}
    cast(coalesce(d.{{ name }}, 0) > 0 as tinyint) as {{ name }},
    {%- endfor %}
    coalesce(d.angina, 0) as angina_diagnoses,
    d.since_angina / 365.25 as years_since_angina,
    d.since_first / 365.25 as years_since_first_diagnosis
from asked as a
left join measured as m using (example_id)
left join diagnosed as d using (example_id)
