output "alarm_arns" {
  description = "ARNs of the alarms, by their kind: `lag`, `age`, `dead-letters`, `no-poller`."
  value       = { for kind, alarm in aws_cloudwatch_metric_alarm.this : kind => alarm.arn }
}

output "consumer_group_id" {
  description = "Consumer group of the event source mapping."
  value       = var.name
}

output "environment" {
  description = "Names of the variables that the function gets."
  value       = sort(keys(local.environment))
}

output "event_source_mapping_id" {
  description = "UUID of the event source mapping."
  value       = aws_lambda_event_source_mapping.this.id
}

output "function_arn" {
  description = "ARN of the function."
  value       = aws_lambda_function.this.arn
}

output "function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "log_group_name" {
  description = "Log group of the function."
  value       = aws_cloudwatch_log_group.this.name
}

output "role_arn" {
  description = "Role of the function."
  value       = local.role_arn
}
