# Alarms. The sidecar writes its metrics to its log (METRICS_EMF), one document a minute and instance; Cloud Logging makes metrics of the
# documents' fields, and the policies ask for those in PromQL: it is what can sum up over instances.

locals {
  resource_type  = var.schedule == null ? "cloud_run_worker_pool" : "cloud_run_job"
  resource_label = var.schedule == null ? "worker_pool_name" : "job_name"

  # The name in the filter keeps out what a handler's container writes.
  documents = "resource.type=\"${local.resource_type}\" AND resource.labels.${local.resource_label}=\"${var.name}\" AND jsonPayload.Subscription=\"${var.name}\""

  # As PromQL knows a metric of ours, up to its own name, and what it says of the resource.
  series   = "logging_googleapis_com:user_kafka_sidecar_${replace(var.name, "-", "_")}"
  resource = "{monitored_resource=\"${local.resource_type}\"}"

  # A threshold that is null is no alarm. A metric with a field is a distribution of it, whose sum counts; one without is a number of documents.
  # What nobody measured alarms nobody: whether nothing runs at all is the business of no-running-instance.
  alarms = { for kind, alarm in {
    # Each instance tells the lag of its own partitions once a minute, so five minutes of documents hold the subscription's lag five times.
    lag = {
      threshold   = try(var.alarms.lag, null)
      description = "The topic is ahead of what is settled."
      metric      = { name = "lag", filter = "jsonPayload.LagRecords:*", field = "LagRecords" }
      query       = "sum(increase(${local.series}_lag_sum${local.resource}[5m])) / 5 > ${try(var.alarms.lag, null) == null ? 0 : var.alarms.lag}"
      duration    = "0s"
    }
    # The highest of all instances is above the threshold when that of any is, and the filter compares exactly, which the buckets of a
    # distribution would not.
    age = {
      threshold   = try(var.alarms.age_seconds, null)
      description = "The oldest unsettled record is old. What retention deletes before it is settled is lost."
      metric      = { name = "too-old", filter = "jsonPayload.OldestUnsettledAge>${try(var.alarms.age_seconds, null) == null ? 0 : var.alarms.age_seconds}", field = null }
      query       = "sum(increase(${local.series}_too_old${local.resource}[5m])) > 0"
      duration    = "0s"
    }
    dead-letters = {
      threshold   = try(var.alarms.dead_letters, null)
      description = "Records have become dead letters."
      metric      = { name = "dead-letters", filter = "jsonPayload.DeadLetters:*", field = "DeadLetters" }
      query       = "sum(increase(${local.series}_dead_letters_sum${local.resource}[5m])) > ${try(var.alarms.dead_letters, null) == null ? 0 : var.alarms.dead_letters}"
      duration    = "0s"
    }
    # An instance that has lived through a full minute has written the gauge Joined. The second five minutes are for the first start, and
    # for entries that come late.
    no-running-instance = {
      threshold   = try(var.alarms.no_running_instance, false) && var.schedule == null && var.instances > 0 ? 0 : null
      description = "No instance of the worker pool runs."
      metric      = { name = "documents", filter = "jsonPayload.Joined:*", field = null }
      query       = "(sum(increase(${local.series}_documents${local.resource}[5m])) or vector(0)) == 0"
      duration    = "300s"
    }
    # Cloud Run's own metric, which is there without a document: a run that failed at once has written none.
    failed-run = {
      threshold   = try(var.alarms.failed_run, false) && var.schedule != null ? 0 : null
      description = "A run of the job has failed."
      metric      = null
      query       = "sum(increase(run_googleapis_com:job_completed_execution_count{monitored_resource=\"cloud_run_job\",job_name=\"${var.name}\",result=\"failed\"}[10m])) > 0"
      duration    = "0s"
    }
  } : kind => alarm if alarm.threshold != null }

  own_metrics = { for alarm in values(local.alarms) : alarm.metric.name => alarm.metric if alarm.metric != null }
}

resource "google_logging_metric" "this" {
  for_each = local.own_metrics

  project         = var.project_id
  name            = "kafka-sidecar/${var.name}/${each.key}"
  filter          = "${local.documents} AND ${each.value.filter}"
  value_extractor = each.value.field == null ? null : "EXTRACT(jsonPayload.${each.value.field})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = each.value.field == null ? "INT64" : "DISTRIBUTION"
    unit        = "1"
  }

  # Only the sum is asked for; a distribution has to have a boundary.
  dynamic "bucket_options" {
    for_each = each.value.field == null ? [] : [1]
    content {
      explicit_buckets {
        bounds = [0]
      }
    }
  }
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.alarms

  project               = var.project_id
  display_name          = "${var.name}-${each.key}"
  combiner              = "OR"
  notification_channels = var.alarms.actions
  user_labels           = var.labels

  documentation {
    content = each.value.description
  }

  conditions {
    display_name = "${var.name}-${each.key}"
    condition_prometheus_query_language {
      query               = each.value.query
      duration            = each.value.duration
      evaluation_interval = "60s"
      # Cloud Monitoring knows a new metric only minutes after it was made, and would refuse the policy until then.
      disable_metric_validation = true
    }
  }

  depends_on = [google_logging_metric.this]
}
