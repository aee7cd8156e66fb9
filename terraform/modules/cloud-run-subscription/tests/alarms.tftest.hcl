# Alarms, and the metrics that they look at.
mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = { email = "mocked@my-project.iam.gserviceaccount.com" }
  }
}

variables {
  name = "orders-to-billing"
  subscription = {
    source = "kafka://my-cluster/orders"
    sink   = "https://billing.example.com/orders"
  }
  bootstrap_servers = "broker-1.example.com:9092"
  image             = "europe-docker.pkg.dev/my-project/images/kafka-sidecar@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  project_id        = "my-project"
  location          = "europe-west3"
  network           = { subnetwork = "main" }
}

run "alarms_of_a_pool" {
  command = plan

  variables {
    alarms    = { actions = ["projects/my-project/notificationChannels/1"], lag = 1000, age_seconds = 3600, dead_letters = 0 }
    instances = 3
    labels    = { team = "billing" }
  }

  assert {
    condition     = toset(keys(google_monitoring_alert_policy.this)) == toset(["lag", "age", "dead-letters", "no-running-instance"])
    error_message = "The alarms are others."
  }

  assert {
    condition = alltrue([for policy in google_monitoring_alert_policy.this :
      policy.project == "my-project" && policy.notification_channels == tolist(["projects/my-project/notificationChannels/1"]) && policy.user_labels == tomap({ team = "billing" })
      && length(policy.conditions) == 1 && policy.conditions[0].condition_prometheus_query_language[0].disable_metric_validation
    ])
    error_message = "An alarm tells others, or is refused while its metric is new."
  }

  assert {
    condition = { for kind, policy in google_monitoring_alert_policy.this : kind => policy.conditions[0].condition_prometheus_query_language[0].query } == {
      lag                 = "sum(increase(logging_googleapis_com:user_kafka_sidecar_orders_to_billing_lag_sum{monitored_resource=\"cloud_run_worker_pool\"}[5m])) / 5 > 1000"
      age                 = "sum(increase(logging_googleapis_com:user_kafka_sidecar_orders_to_billing_too_old{monitored_resource=\"cloud_run_worker_pool\"}[5m])) > 0"
      dead-letters        = "sum(increase(logging_googleapis_com:user_kafka_sidecar_orders_to_billing_dead_letters_sum{monitored_resource=\"cloud_run_worker_pool\"}[5m])) > 0"
      no-running-instance = "(sum(increase(logging_googleapis_com:user_kafka_sidecar_orders_to_billing_documents{monitored_resource=\"cloud_run_worker_pool\"}[5m])) or vector(0)) == 0"
    }
    error_message = "The alarms ask for something else."
  }

  assert {
    condition     = { for kind, policy in google_monitoring_alert_policy.this : kind => policy.conditions[0].condition_prometheus_query_language[0].duration } == { lag = "0s", age = "0s", dead-letters = "0s", no-running-instance = "300s" }
    error_message = "A pool that was just made alarms, or an alarm comes later."
  }

  assert {
    condition = { for name, metric in google_logging_metric.this : name => metric.filter } == {
      lag          = "resource.type=\"cloud_run_worker_pool\" AND resource.labels.worker_pool_name=\"orders-to-billing\" AND jsonPayload.Subscription=\"orders-to-billing\" AND jsonPayload.LagRecords:*"
      too-old      = "resource.type=\"cloud_run_worker_pool\" AND resource.labels.worker_pool_name=\"orders-to-billing\" AND jsonPayload.Subscription=\"orders-to-billing\" AND jsonPayload.OldestUnsettledAge>3600"
      dead-letters = "resource.type=\"cloud_run_worker_pool\" AND resource.labels.worker_pool_name=\"orders-to-billing\" AND jsonPayload.Subscription=\"orders-to-billing\" AND jsonPayload.DeadLetters:*"
      documents    = "resource.type=\"cloud_run_worker_pool\" AND resource.labels.worker_pool_name=\"orders-to-billing\" AND jsonPayload.Subscription=\"orders-to-billing\" AND jsonPayload.Joined:*"
    }
    error_message = "The metrics are made of other entries."
  }

  assert {
    condition = { for name, metric in google_logging_metric.this : name => "${metric.metric_descriptor[0].metric_kind} ${metric.metric_descriptor[0].value_type} ${metric.value_extractor == null ? "" : metric.value_extractor}" } == {
      lag          = "DELTA DISTRIBUTION EXTRACT(jsonPayload.LagRecords)"
      too-old      = "DELTA INT64 "
      dead-letters = "DELTA DISTRIBUTION EXTRACT(jsonPayload.DeadLetters)"
      documents    = "DELTA INT64 "
    }
    error_message = "The metrics are of another kind."
  }

  assert {
    condition     = contains([for e in google_cloud_run_v2_worker_pool.this[0].template[0].containers[0].env : "${e.name}=${coalesce(e.value, "-")}"], "METRICS_EMF=true")
    error_message = "The sidecar does not write the metrics that the alarms look at."
  }
}

run "no_alarm_without_a_threshold" {
  command = plan

  variables {
    alarms = { actions = [], no_running_instance = false, dead_letters = 10 }
  }

  assert {
    condition     = keys(google_monitoring_alert_policy.this) == ["dead-letters"] && keys(google_logging_metric.this) == ["dead-letters"]
    error_message = "There is an alarm without a threshold, or a metric that nobody looks at."
  }

  assert {
    condition     = endswith(google_monitoring_alert_policy.this["dead-letters"].conditions[0].condition_prometheus_query_language[0].query, " > 10")
    error_message = "The threshold is another one."
  }
}

run "no_alarms" {
  command = plan

  assert {
    condition     = length(google_monitoring_alert_policy.this) == 0 && length(google_logging_metric.this) == 0 && !contains(output.environment, "METRICS_EMF")
    error_message = "There are alarms or metrics that nobody asked for."
  }
}

run "no_alarm_that_nothing_runs_where_nothing_shall" {
  command = plan

  variables {
    alarms    = { actions = [] }
    instances = 0
  }

  assert {
    condition     = length(google_monitoring_alert_policy.this) == 0 && google_cloud_run_v2_worker_pool.this[0].scaling[0].manual_instance_count == 0
    error_message = "A stopped subscription alarms, or runs."
  }
}

run "alarms_of_a_job" {
  command = plan

  variables {
    alarms   = { actions = [], dead_letters = 0 }
    schedule = { expression = "0 3 * * *", end_at = "latest" }
  }

  assert {
    condition = { for kind, policy in google_monitoring_alert_policy.this : kind => policy.conditions[0].condition_prometheus_query_language[0].query } == {
      dead-letters = "sum(increase(logging_googleapis_com:user_kafka_sidecar_orders_to_billing_dead_letters_sum{monitored_resource=\"cloud_run_job\"}[5m])) > 0"
      failed-run   = "sum(increase(run_googleapis_com:job_completed_execution_count{monitored_resource=\"cloud_run_job\",job_name=\"orders-to-billing\",result=\"failed\"}[10m])) > 0"
    }
    error_message = "The alarms of a job are others."
  }

  assert {
    condition     = google_logging_metric.this["dead-letters"].filter == "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"orders-to-billing\" AND jsonPayload.Subscription=\"orders-to-billing\" AND jsonPayload.DeadLetters:*"
    error_message = "The metric is made of other entries."
  }

  assert {
    condition     = contains([for e in google_cloud_run_v2_job.this[0].template[0].template[0].containers[0].env : "${e.name}=${coalesce(e.value, "-")}"], "METRICS_EMF=true")
    error_message = "The sidecar does not write the metrics that the alarms look at."
  }
}

run "failed_run_needs_no_document" {
  command = plan

  variables {
    alarms   = { actions = [] }
    schedule = { expression = "0 3 * * *", end_at = "latest" }
  }

  assert {
    condition     = keys(google_monitoring_alert_policy.this) == ["failed-run"] && length(google_logging_metric.this) == 0 && !contains(output.environment, "METRICS_EMF")
    error_message = "Metrics are written that nobody looks at."
  }
}
