# Alarms, scaling and schedule.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name = "orders-to-billing"
  subscription = {
    source = "kafka://my-cluster/orders"
    sink   = "https://billing.example.com/orders"
  }
  bootstrap_servers = "broker-1.example.com:9092,broker-2.example.com:9092"
  image             = "registry.example.com/kafka-sidecar@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  cluster_arn       = "arn:aws:ecs:eu-central-1:123456789012:cluster/main"
  subnet_ids        = ["subnet-1"]
}

run "alarms_of_any_kafka" {
  command = plan

  variables {
    alarms = { actions = ["arn:aws:sns:eu-central-1:123456789012:oncall"], lag = 1000, age_seconds = 3600, dead_letters = 0 }
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.this)) == toset(["lag", "age", "dead-letters", "no-running-task"])
    error_message = "The alarms are others."
  }
  assert {
    condition     = alltrue([for kind in ["lag", "age", "dead-letters"] : aws_cloudwatch_metric_alarm.this[kind].dimensions == tomap({ Subscription = "orders-to-billing" })])
    error_message = "An alarm looks at another subscription."
  }
  assert {
    condition = { for kind, a in aws_cloudwatch_metric_alarm.this : kind => "${a.statistic} of ${a.namespace} ${a.metric_name} ${a.comparison_operator} ${a.threshold} in ${a.evaluation_periods} x ${a.period} s, else ${a.treat_missing_data}" } == {
      lag             = "Sum of KafkaSidecar LagRecords GreaterThanThreshold 1000 in 5 x 60 s, else ignore"
      age             = "Maximum of KafkaSidecar OldestUnsettledAge GreaterThanThreshold 3600 in 5 x 60 s, else ignore"
      dead-letters    = "Sum of KafkaSidecar DeadLetters GreaterThanThreshold 0 in 1 x 300 s, else notBreaching"
      no-running-task = "SampleCount of AWS/ECS CPUUtilization LessThanThreshold 1 in 5 x 60 s, else breaching"
    }
    error_message = "The alarms look at something else."
  }
  assert {
    condition     = alltrue([for a in aws_cloudwatch_metric_alarm.this : a.alarm_actions == toset(["arn:aws:sns:eu-central-1:123456789012:oncall"]) && a.ok_actions == a.alarm_actions])
    error_message = "Nobody is told."
  }
  assert {
    condition = alltrue([for name, value in { METRICS_EMF = "true", METRICS_EMF_NAMESPACE = "KafkaSidecar" } :
    contains(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment, { name = name, value = value })])
    error_message = "The sidecar does not write the metrics that the alarms look at."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["no-running-task"].dimensions == tomap({ ClusterName = "main", ServiceName = "orders-to-billing" })
    error_message = "That nothing runs is not noticed."
  }
}

run "alarms_of_msk" {
  command = plan

  variables {
    msk    = { cluster_arn = "arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1" }
    alarms = { actions = [], lag = 1000, age_seconds = 3600 }
  }

  assert {
    condition = alltrue([for kind in ["lag", "age"] : aws_cloudwatch_metric_alarm.this[kind].namespace == "AWS/Kafka" && aws_cloudwatch_metric_alarm.this[kind].dimensions == tomap({
      "Cluster Name" = "main", "Consumer Group" = "orders-to-billing", Topic = "orders"
    })])
    error_message = "The alarms look at other metrics than MSK's."
  }
  assert {
    condition     = { for kind in ["lag", "age"] : kind => "${aws_cloudwatch_metric_alarm.this[kind].statistic} of ${aws_cloudwatch_metric_alarm.this[kind].metric_name}" } == { lag = "Maximum of SumOffsetLag", age = "Maximum of EstimatedMaxTimeLag" }
    error_message = "The alarms look at other metrics of MSK."
  }
  assert {
    condition     = !contains(output.environment, "METRICS_EMF")
    error_message = "Metrics are written that nobody looks at."
  }
  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.this), "dead-letters")
    error_message = "There is an alarm without a threshold."
  }
}

run "no_alarm_that_nothing_runs_where_nothing_shall" {
  command = plan

  variables {
    alarms  = { actions = [] }
    scaling = { min = 0 }
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 0 && aws_appautoscaling_target.this[0].max_capacity == 0
    error_message = "A stopped subscription alarms, or runs."
  }
}

run "scaling_by_backlog" {
  command = plan

  variables {
    scaling = { min = 1, max = 6, target_lag = 5000, target_load = 80, partitions = 6 }
  }

  assert {
    condition     = aws_appautoscaling_target.this[0].min_capacity == 1 && aws_appautoscaling_target.this[0].max_capacity == 6
    error_message = "The bounds are others."
  }
  assert {
    condition = (
      aws_appautoscaling_policy.this["backlog"].target_tracking_scaling_policy_configuration[0].target_value == 5000
      && aws_appautoscaling_policy.this["backlog"].target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].statistic == "Average"
      && aws_appautoscaling_policy.this["backlog"].target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].namespace == "KafkaSidecar"
    )
    error_message = "What is tracked is not the backlog per task."
  }
  assert {
    condition     = aws_appautoscaling_policy.this["load"].target_tracking_scaling_policy_configuration[0].target_value == 80
    error_message = "What is tracked is not the load per task."
  }
  assert {
    condition = { for kind, p in aws_appautoscaling_policy.this : kind => [for m in p.target_tracking_scaling_policy_configuration[0].customized_metric_specification : { metric = m.metric_name, dimensions = { for d in m.dimensions : d.name => d.value } }] } == {
      backlog = [{ metric = "BacklogRecords", dimensions = { Subscription = "orders-to-billing" } }]
      load    = [{ metric = "Load", dimensions = { Subscription = "orders-to-billing" } }]
    }
    error_message = "Another subscription is scaled by."
  }
  assert {
    condition     = contains(output.environment, "METRICS_EMF")
    error_message = "The metric that scales is not written."
  }
}

run "a_fixed_number" {
  command = plan

  variables {
    scaling = { min = 3 }
  }

  assert {
    condition     = aws_appautoscaling_target.this[0].min_capacity == 3 && aws_appautoscaling_target.this[0].max_capacity == 3 && length(aws_appautoscaling_policy.this) == 0
    error_message = "The number is not fixed."
  }
}

run "schedule" {
  command = apply

  variables {
    schedule = { expression = "cron(0 3 * * ? *)", timezone = "Europe/Berlin", end_at = "latest" }
    alarms   = { actions = [], dead_letters = 0 }
  }

  assert {
    condition     = length(aws_ecs_service.this) == 0 && length(aws_appautoscaling_target.this) == 0 && !contains(keys(aws_cloudwatch_metric_alarm.this), "no-running-task")
    error_message = "There is a service, too."
  }
  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment, { name = "END_AT", value = "latest" })
    error_message = "The task would run for ever."
  }
  assert {
    condition = (
      aws_scheduler_schedule.this[0].schedule_expression == "cron(0 3 * * ? *)"
      && aws_scheduler_schedule.this[0].target[0].arn == "arn:aws:ecs:eu-central-1:123456789012:cluster/main"
      && aws_scheduler_schedule.this[0].target[0].ecs_parameters[0].task_definition_arn == aws_ecs_task_definition.this.arn
      && aws_scheduler_schedule.this[0].state == "ENABLED"
    )
    error_message = "Something else is started, or at another time."
  }
  assert {
    condition = { for s in data.aws_iam_policy_document.schedule.statement : s.sid => { actions = s.actions, resources = s.resources, conditions = { for c in s.condition : c.variable => "${c.test} ${join(",", c.values)}" } } } == {
      Run   = { actions = toset(["ecs:RunTask"]), resources = toset(["arn:aws:ecs:eu-central-1:123456789012:task-definition/orders-to-billing:*"]), conditions = { "ecs:cluster" = "ArnEquals arn:aws:ecs:eu-central-1:123456789012:cluster/main" } }
      Tag   = { actions = toset(["ecs:TagResource"]), resources = toset(["arn:aws:ecs:eu-central-1:123456789012:task/main/*"]), conditions = { "ecs:CreateAction" = "StringEquals RunTask" } }
      Roles = { actions = toset(["iam:PassRole"]), resources = toset(["arn:aws:iam::123456789012:role/mocked"]), conditions = { "iam:PassedToService" = "StringEquals ecs-tasks.amazonaws.com" } }
    }
    error_message = "The scheduler may do other things."
  }
}
