output "alarm_arns" {
  description = "ARNs of the alarms, by their kind: `lag`, `age`, `dead-letters`, `no-running-task`."
  value       = { for kind, alarm in aws_cloudwatch_metric_alarm.this : kind => alarm.arn }
}

output "consumer_group_id" {
  description = "Consumer group as the brokers know it."
  value       = local.group
}

output "environment" {
  description = "Names of the variables that the sidecar gets, secrets included."
  value       = sort(concat(keys(local.environment), keys(var.secrets)))
}

output "execution_role_arn" {
  description = "Role with which ECS starts the task."
  value       = local.execution_role_arn
}

output "log_group_name" {
  description = "Log group of both containers."
  value       = aws_cloudwatch_log_group.this.name
}

output "schedule_arn" {
  description = "ARN of the schedule; null for a service."
  value       = try(aws_scheduler_schedule.this[0].arn, null)
}

output "service_name" {
  description = "Name of the ECS service; null with a schedule."
  value       = try(aws_ecs_service.this[0].name, null)
}

output "task_definition_arn" {
  description = "ARN of the task definition, with its revision."
  value       = aws_ecs_task_definition.this.arn
}

output "task_role_arn" {
  description = "Role of the containers."
  value       = local.task_role_arn
}
