output "alarm_names" {
  description = "Full names of the alerting policies, by their kind: `lag`, `age`, `dead-letters`, `no-running-instance`, `failed-run`."
  value       = { for kind, policy in google_monitoring_alert_policy.this : kind => policy.name }
}

output "consumer_group_id" {
  description = "Consumer group as the brokers know it."
  value       = try(var.subscription.options["group.id"], var.name)
}

output "environment" {
  description = "Names of the variables that the sidecar gets, secrets included."
  value       = sort(concat(keys(local.environment), keys(var.secrets)))
}

output "job_name" {
  description = "Name of the Cloud Run job; null without a schedule."
  value       = try(google_cloud_run_v2_job.this[0].name, null)
}

output "service_account_email" {
  description = "Service account of the instances."
  value       = local.account
}

output "worker_pool_name" {
  description = "Name of the worker pool; null with a schedule."
  value       = try(google_cloud_run_v2_worker_pool.this[0].name, null)
}
