# Alarms. The sidecar's own metrics come with its logs (METRICS_EMF); MSK's are there even when no task runs.

locals {
  # As METRICS_EMF writes them: each replica once a minute, summed up over its partitions, so that the sum is the subscription's and the
  # average is that of a task.
  own_dimensions = { Subscription = var.name }

  msk_dimensions = var.msk == null ? null : {
    "Cluster Name"   = element(split("/", var.msk.cluster_arn), 1)
    "Consumer Group" = local.group
    "Topic"          = local.topic
  }

  # A threshold that is null is no alarm. Missing data is left as it was where it only says that nobody measured: whether nothing runs at
  # all is the business of the last one.
  alarms = { for kind, alarm in {
    lag = {
      threshold   = try(var.alarms.lag, null)
      description = "The topic is ahead of what is settled."
      namespace   = var.msk == null ? var.metrics_namespace : "AWS/Kafka"
      metric      = var.msk == null ? "LagRecords" : "SumOffsetLag"
      dimensions  = var.msk == null ? local.own_dimensions : local.msk_dimensions
      statistic   = var.msk == null ? "Sum" : "Maximum"
      comparison  = "GreaterThanThreshold"
      periods     = 5
      missing     = "ignore"
    }
    age = {
      threshold   = try(var.alarms.age_seconds, null)
      description = "The oldest unsettled record is old. What retention deletes before it is settled is lost."
      namespace   = var.msk == null ? var.metrics_namespace : "AWS/Kafka"
      metric      = var.msk == null ? "OldestUnsettledAge" : "EstimatedMaxTimeLag"
      dimensions  = var.msk == null ? local.own_dimensions : local.msk_dimensions
      statistic   = "Maximum"
      comparison  = "GreaterThanThreshold"
      periods     = 5
      missing     = "ignore"
    }
    dead-letters = {
      threshold   = try(var.alarms.dead_letters, null)
      description = "Records have become dead letters."
      namespace   = var.metrics_namespace
      metric      = "DeadLetters"
      dimensions  = local.own_dimensions
      statistic   = "Sum"
      comparison  = "GreaterThanThreshold"
      periods     = 1
      missing     = "notBreaching"
    }
    # Each running task reports its CPU once a minute: the number of reports is the number of tasks. RunningTaskCount would need
    # Container Insights.
    no-running-task = {
      threshold   = try(var.alarms.no_running_task, false) && var.schedule == null && local.max_tasks > 0 ? 1 : null
      description = "No task of the service runs."
      namespace   = "AWS/ECS"
      metric      = "CPUUtilization"
      dimensions  = { ClusterName = local.cluster_name, ServiceName = var.name }
      statistic   = "SampleCount"
      comparison  = "LessThanThreshold"
      periods     = 5
      missing     = "breaching"
    }
  } : kind => alarm if alarm.threshold != null }

  own_metrics = length(local.targets) > 0 || anytrue([for alarm in values(local.alarms) : alarm.namespace == var.metrics_namespace])
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = each.key == "dead-letters" ? 300 : 60
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarms.actions
  ok_actions          = var.alarms.actions
  tags                = var.tags
}
