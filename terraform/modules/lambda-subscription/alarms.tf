# Alarms. Lambda's own metrics are there for any Kafka; the age is MSK's, and dead letters are counted by the function.
#
# OffsetLag is a function's, for the topic as a whole, and viewed by its maximum; ProvisionedPollers is a mapping's, likewise. Lambda Developer
# Guide, "Types of metrics for Lambda functions" and "Viewing metrics for Lambda functions". EstimatedMaxTimeLag is one of MSK's default level,
# in seconds: Amazon MSK Developer Guide, "Monitor consumer lags".

locals {
  alarms = { for kind, alarm in {
    lag = {
      threshold   = try(var.alarms.lag, null)
      description = "The topic is ahead of what the function has taken."
      namespace   = "AWS/Lambda"
      metric      = "OffsetLag"
      dimensions  = { FunctionName = var.name }
      statistic   = "Maximum"
      comparison  = "GreaterThanThreshold"
      period      = 60
      periods     = 5
      missing     = "ignore"
    }
    age = {
      threshold   = try(var.alarms.age_seconds, null)
      description = "The oldest record that was not taken is old. What retention deletes before is lost."
      namespace   = "AWS/Kafka"
      metric      = "EstimatedMaxTimeLag"
      dimensions = {
        "Cluster Name"   = element(split("/", coalesce(var.kafka.msk_cluster_arn, "-/-")), 1)
        "Consumer Group" = var.name
        "Topic"          = local.topic
      }
      statistic  = "Maximum"
      comparison = "GreaterThanThreshold"
      period     = 60
      periods    = 5
      missing    = "ignore"
    }
    dead-letters = {
      threshold   = try(var.alarms.dead_letters, null)
      description = "Records have become dead letters."
      namespace   = var.metrics_namespace
      metric      = "DeadLetters"
      dimensions  = { Subscription = var.name }
      statistic   = "Sum"
      comparison  = "GreaterThanThreshold"
      period      = 300
      periods     = 1
      missing     = "notBreaching"
    }
    no-poller = {
      threshold   = try(var.alarms.no_poller, false) && var.enabled ? 1 : null
      description = "No poller of the event source mapping runs."
      namespace   = "AWS/Lambda"
      metric      = "ProvisionedPollers"
      dimensions  = { EventSourceMappingUUID = aws_lambda_event_source_mapping.this.id }
      statistic   = "Maximum"
      comparison  = "LessThanThreshold"
      period      = 60
      periods     = 5
      missing     = "breaching"
    }
  } : kind => alarm if alarm.threshold != null }

  own_metrics = try(var.alarms.dead_letters, null) != null
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
  period              = each.value.period
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarms.actions
  ok_actions          = var.alarms.actions
  tags                = var.tags
}
